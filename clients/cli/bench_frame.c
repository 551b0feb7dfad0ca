#include "clients/cli/bench_frame.h"

#include "proto/native_reply.h"

bool frame_read_any_msg(struct cursor body, uint32_t count, struct span *topic, struct span *payload)
{
    struct native_msg msg;
    if (native_decode_msg(body, count, &msg) != ERR_NONE)
        return false;
    *topic = msg.topic;
    *payload = msg.payload;
    return true;
}
