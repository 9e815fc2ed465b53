/*
 * churn: gives memory back while a network card still holds descriptors for it, and has packets
 * sent out of it and received into it all the same.
 *
 * Orders come on the standard input, one a line, and each is answered by one object of JSON. What
 * stands in the memory is for others to judge: while it is given away, this program cannot look.
 */
#include "lib/json.h"
#include "lib/line.h"
#include "lib/orders.h"
#include "lib/own.h"
#include "lib/tool.h"
#include <rte_mbuf.h>
#include <rte_memzone.h>
#include <stdio.h>
#include <string.h>

#define BYTES (2u << 20)
#define SLOT \
    2048u /* of a buffer; the last slot is nobody's buffer: packets are fetched from there */

static const char doc[] =
    "Give memory back to Cordon that network cards hold descriptors for. Port 0 fetches from it, "
    "port 1 has all its receive buffers there."
    "\vOrders, a line each:\n"
    "  send      port 0 sends a packet whose middle stands there; port 1 stores it there\n"
    "  give      the memory is given back, by Cordon's own PCI function\n"
    "  take      there is memory again\n"
    "  quit      end, as the end of the input does; what was given is taken first\n"
    "Options behind -- are EAL's.";

static struct line line;
static const struct rte_memzone *zone;
static struct own own;
static bool given;

static const struct rte_memzone *zone_of(const char *name)
{
    const struct rte_memzone *z =
        rte_memzone_reserve_aligned(name, BYTES, SOCKET_ID_ANY, RTE_MEMZONE_IOVA_CONTIG, BYTES);

    if (z == NULL) {
        tool_cannot("no huge page of 2 MiB for packets: give the guest more of them");
    }
    return z;
}

/* Drivers may look into a buffer that came back, virtio's does: to them it stands in memory that
 * stays, to the card in the memory that goes. */
static void zone_open(void)
{
    struct rte_pktmbuf_extmem memory;

    zone = zone_of("churn");
    memory = (struct rte_pktmbuf_extmem){.buf_ptr = zone_of("drivers")->addr,
                                         .buf_iova = zone->iova,
                                         .buf_len = BYTES,
                                         .elt_size = SLOT};
    line_open(&line, &memory);
}

static void send_one(void)
{
    if (!given) {
        line_fill((uint8_t *)zone->addr + BYTES - SLOT, LINE_MIDDLE);
    }
    line_send(&line, LINE_MIDDLE, zone->iova + BYTES - SLOT);
    json_bool("came", line_drop(&line));
}

static void give_or_take(bool give)
{
    struct own_answer a = (give ? own_give : own_take)(&own, zone->iova, BYTES);

    json_number("own_error", a.error);
    if (a.error == 0 || a.error == OWN_PENDING) {
        given = give;
    }
}

static bool carry_out(const char *order)
{
    if (strcmp(order, "send") == 0) {
        send_one();
    } else if (strcmp(order, "give") == 0 || strcmp(order, "take") == 0) {
        give_or_take(order[0] == 'g');
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {
        .parser = orders_parse, .args_doc = "[-- EAL-OPTION...]", .doc = doc};

    tool_start(&argp, argc, argv, NULL);
    own = own_open();
    zone_open();
    json_open(NULL);
    json_text("program", tool_name());
    json_number("gpa", zone->iova);
    json_number("bytes", BYTES);
    json_close();
    orders_answer(carry_out);
    if (given) {
        (void)own_take(&own, zone->iova, BYTES);
    }
    line_close(&line);
    tool_end(TOOL_PASSED);
}
