#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "broker/frontend/admission.h"
#include "broker/memory.h"

static struct sockaddr_storage peer(const char *text)
{
    struct sockaddr_storage address = {0};
    struct sockaddr_in *four = (struct sockaddr_in *)&address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address;
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1)
        four->sin_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1)
        six->sin6_family = AF_INET6;
    return address;
}

static enum err take(struct admission *admission, const char *from, struct address_count **ticket)
{
    const char *text = NULL;
    struct sockaddr_storage address = peer(from);
    enum err e = admission_take(admission, &address, ticket, &text);
    assert_true((e == ERR_NONE) == (text == NULL));
    return e;
}

static void no_more_connections_come_in_than_the_limit(void **state)
{
    (void)state;
    struct admission *admission = admission_new(2, 0);
    struct address_count *tickets[3];
    assert_int_equal(take(admission, "192.0.2.1", &tickets[0]), ERR_NONE);
    assert_int_equal(take(admission, "192.0.2.2", &tickets[1]), ERR_NONE);
    assert_int_equal(take(admission, "192.0.2.3", &tickets[2]), ERR_LIMIT);
    assert_int_equal(admission_count(admission), 2);
    admission_give(admission, tickets[0]);
    assert_int_equal(take(admission, "192.0.2.3", &tickets[2]), ERR_NONE);
    admission_free(admission);
}

static void each_address_has_its_own_share(void **state)
{
    (void)state;
    struct admission *admission = admission_new(100, 1);
    struct address_count *four, *six, *refused;
    assert_int_equal(take(admission, "192.0.2.1", &four), ERR_NONE);
    assert_int_equal(take(admission, "192.0.2.1", &refused), ERR_LIMIT);
    assert_int_equal(take(admission, "::ffff:192.0.2.1", &refused), ERR_LIMIT);
    assert_int_equal(take(admission, "2001:db8::1", &six), ERR_NONE);
    assert_int_equal(admission_count(admission), 2);
    admission_give(admission, four);
    assert_int_equal(take(admission, "192.0.2.1", &four), ERR_NONE);
    admission_give(admission, four);
    admission_give(admission, six);
    assert_int_equal(admission_count(admission), 0);
    admission_free(admission);
}

static void at_the_memory_bound_nobody_comes_in(void **state)
{
    (void)state;
    struct admission *admission = admission_new(100, 0);
    struct address_count *ticket;
    void *held = memory_alloc(100, 0);
    memory_set_limit(50);
    assert_int_equal(take(admission, "192.0.2.1", &ticket), ERR_OVERLOADED);
    memory_set_limit(UINT64_MAX);
    assert_int_equal(take(admission, "192.0.2.1", &ticket), ERR_NONE);
    memory_free(held, 100);
    admission_free(admission);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_more_connections_come_in_than_the_limit),
        cmocka_unit_test(each_address_has_its_own_share),
        cmocka_unit_test(at_the_memory_bound_nobody_comes_in),
    };
    return cmocka_run_group_tests_name("admission", tests, NULL, NULL);
}
