#include "proto/err.h"

#include <assert.h>

const char *err_name(enum err e)
{
    static const char *const names[] = {
#define ERR_NAME(code, name, text) [code] = name,
        ERR_LIST(ERR_NAME)
#undef ERR_NAME
    };
    assert((unsigned)e < ERR_COUNT);
    return names[e];
}

const char *err_text(enum err e)
{
    static const char *const texts[] = {
#define ERR_TEXT(code, name, text) [code] = text,
        ERR_LIST(ERR_TEXT)
#undef ERR_TEXT
    };
    assert((unsigned)e < ERR_COUNT);
    return texts[e];
}
