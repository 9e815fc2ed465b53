/*
 * rogue: has network cards do DMA at bus addresses that somebody outside names, by packets over
 * rte_ethdev and by registers behind its back, and says what came over the wire.
 *
 * Port 0 sends and port 1 receives; both are on one line. Orders come on the standard input, one a
 * line, and each is answered by one object of JSON. Whether memory was reached is for others to
 * judge, who see it: a capture of the line, the host's side of memory, the IOMMU's fault records.
 */
#include "lib/json.h"
#include "lib/line.h"
#include "lib/orders.h"
#include "lib/tool.h"
#include "rogue/card.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGES 1000u

static const char doc[] =
    "Take orders from the standard input, and have network cards carry them out: port 0 sends, "
    "port 1 receives."
    "\vOrders, a line each; IOVA is a bus address, WHERE is first, middle, last or none:\n"
    "  send WHERE IOVA      a packet of three pieces; that one is fetched from IOVA\n"
    "  receive WHERE IOVA   a packet into three buffers; that one is stored at IOVA\n"
    "  ring send IOVA       port 0 takes one descriptor from a ring at IOVA\n"
    "  ring receive IOVA    port 1 takes descriptors from a ring at IOVA, and reports there\n"
    "  ring report IOVA     port 0's card, an igb, writes there how far it has sent\n"
    "  message NUMBER IOVA  port 0's card sends 1000 messages (MSI): NUMBER, to IOVA; an "
    "interrupt file takes it for an interrupt's identity, 1 to 2047\n"
    "  quit                 end, as the end of the input does\n"
    "Answers: \"came\", a packet came over the line, of so many \"bytes\"; \"rest\", its other "
    "pieces are right; \"nonzero\", bytes of that piece that are not 0. A card may send zeros on "
    "where it was refused.\n"
    "With none, IOVA is not used and all is honest. Options behind -- are EAL's.";

static struct line line;

/* What came over the line of a packet whose piece WHERE was fetched from elsewhere. */
static void say_packet(const struct line_packet *came, enum line_where where)
{
    json_bool("came", came->len != 0);
    json_number("bytes", came->len);
    if (came->len != 0) {
        json_bool("rest", line_rest_right(came, where));
        json_number("nonzero", line_foreign(came, where));
    }
}

static void send_from(enum line_where where, uint64_t iova)
{
    struct line_packet came;

    line_send(&line, where, iova);
    line_take(&line, &came);
    say_packet(&came, where);
}

static void receive_at(enum line_where where, uint64_t iova)
{
    struct line_packet came;

    line_aim(&line, where, iova);
    line_send(&line, LINE_NONE, 0);
    line_take(&line, &came);
    say_packet(&came, where);
}

/* The card has its own ring back afterwards. */
static void ring_at(bool send, uint64_t iova)
{
    const struct port *p = send ? &line.from : &line.to;
    struct card card = card_open(p);
    struct line_packet came = {.len = 0};

    card_ring_move(&card, send, iova);
    if (send) {
        card_ring_send_one(&card);
        line_take(&line, &came);
    } else {
        line_send(&line, LINE_NONE, 0);
    }
    card_ring_restore(&card, send);
    card_close(&card);
    if (send) {
        line_send(&line, LINE_NONE, 0); /* the card may have begun a packet, which this one ends */
        (void)line_drop(&line);
    }
    json_bool("came", came.len != 0);
    json_number("bytes", came.len);
}

/* An honest packet, of which the card writes to IOVA that it was sent. */
static void report_to(uint64_t iova)
{
    struct card card = card_open(&line.from);
    struct line_packet came;

    card_report_to(&card, iova);
    line_send(&line, LINE_NONE, 0);
    line_take(&line, &came);
    json_number("head", card_report_end(&card));
    card_close(&card);
    say_packet(&came, LINE_NONE);
}

static bool message_to(const char *word, uint64_t iova)
{
    char *end;
    unsigned long number = strtoul(word, &end, 0);
    struct card card;

    if (end == word || *end != '\0' || number > UINT16_MAX) {
        return false;
    }
    card = card_open(&line.from);
    card_message(&card, iova, (uint16_t)number, MESSAGES);
    card_close(&card);
    json_number("sent", MESSAGES);
    return true;
}

/* True if ORDER is one; its answer has been written into the object that is open. */
static bool carry_out(const char *order)
{
    char verb[8], word[8];
    uint64_t iova = 0;
    int count = sscanf(order, "%7s %7s %" SCNx64, verb, word, &iova);
    enum line_where where = count >= 2 ? line_where(word) : LINE_WHERES;

    if (count < 2 || (count < 3 && where != LINE_NONE)) {
        return false;
    }
    if (strcmp(verb, "message") == 0) {
        return message_to(word, iova);
    }
    if (strcmp(verb, "ring") == 0 && (strcmp(word, "send") == 0 || strcmp(word, "receive") == 0)) {
        ring_at(strcmp(word, "send") == 0, iova);
    } else if (strcmp(verb, "ring") == 0 && strcmp(word, "report") == 0) {
        report_to(iova);
    } else if (strcmp(verb, "send") == 0 && where != LINE_WHERES) {
        send_from(where, iova);
    } else if (strcmp(verb, "receive") == 0 && where != LINE_WHERES) {
        receive_at(where, iova);
    } else {
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {.parser = orders_parse, .doc = doc};

    tool_start(&argp, argc, argv, NULL);
    line_open(&line, NULL);
    json_open(NULL);
    json_text("program", tool_name());
    json_list("ports");
    port_say(&line.from);
    port_say(&line.to);
    json_close();
    json_close();
    orders_answer(carry_out);
    line_close(&line);
    tool_end(TOOL_PASSED);
}
