/* Ports of rte_ethdev. */
#include "lib/port.h"
#include "lib/json.h"
#include "lib/tool.h"
#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <stdio.h>
#include <string.h>

uint16_t port_count(uint16_t least)
{
    uint16_t count = rte_eth_dev_count_avail();

    if (count < least) {
        tool_cannot("%u port%s found, %u needed: bind the network card to uio_pci_generic "
                    "(/etc/cordon/dpdk does), and give it to this guest",
                    count, count == 1 ? "" : "s", least);
    }
    return count;
}

static void must(const struct port *p, int status, const char *what)
{
    if (status < 0) {
        tool_cannot("port %u (%s): %s: %s", p->id, p->name, what, rte_strerror(-status));
    }
}

/* The longest frame that is wanted and possible; its MTU goes into the configuration. */
static void choose_frame(struct port *p, const struct rte_eth_dev_info *info, uint32_t wanted,
                         struct rte_eth_conf *conf)
{
    uint32_t overhead = RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
    uint32_t most = info->max_rx_pktlen - overhead;

    if (info->max_mtu != UINT16_MAX && most > info->max_mtu) {
        most = info->max_mtu;
    }
    p->frame_most = most + RTE_ETHER_HDR_LEN;
    p->frame_max = wanted < p->frame_most ? wanted : p->frame_most;
    conf->rxmode.mtu = p->frame_max - RTE_ETHER_HDR_LEN;
    if (conf->rxmode.mtu < RTE_ETHER_MTU) {
        conf->rxmode.mtu = RTE_ETHER_MTU;
    }
}

/* What its driver says; and no packet more than half of a ring, or igb's never finds room for it.
 */
static void choose_segments(struct port *p, const struct rte_eth_dev_info *info)
{
    p->segments_max = (uint16_t)(p->tx_ring / 2 - 1);
    if (info->tx_desc_lim.nb_seg_max != 0 && info->tx_desc_lim.nb_seg_max < p->segments_max) {
        p->segments_max = info->tx_desc_lim.nb_seg_max;
    }
}

static void configure(struct port *p, const struct port_settings *s, struct rte_mempool *pool)
{
    struct rte_eth_dev_info info;
    struct rte_eth_conf conf = {0};

    must(p, rte_eth_dev_info_get(p->id, &info), "its device tells nothing of itself");
    snprintf(p->driver, sizeof p->driver, "%s", info.driver_name);
    choose_frame(p, &info, s->frame_max, &conf);
    conf.rxmode.offloads = info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER;
    conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
    must(p, rte_eth_dev_configure(p->id, 1, 1, &conf), "it cannot be configured");
    p->rx_ring = s->rx_ring;
    p->tx_ring = s->tx_ring;
    must(p, rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &p->rx_ring, &p->tx_ring), "its rings");
    must(p, rte_eth_rx_queue_setup(p->id, 0, p->rx_ring, (unsigned)SOCKET_ID_ANY, NULL, pool),
         "its receive queue");
    must(p, rte_eth_tx_queue_setup(p->id, 0, p->tx_ring, (unsigned)SOCKET_ID_ANY, NULL),
         "its transmit queue");
    choose_segments(p, &info);
}

static void wait_link(const struct port *p, uint32_t ms)
{
    struct rte_eth_link link = {0};

    for (uint32_t i = 0; i <= ms / 10; i++) {
        must(p, rte_eth_link_get_nowait(p->id, &link), "its link");
        if (link.link_status == RTE_ETH_LINK_UP) {
            return;
        }
        rte_delay_ms(10);
    }
    tool_cannot("port %u (%s): its link is down, and has been for %u ms", p->id, p->name, ms);
}

void port_open(struct port *p, uint16_t id, const struct port_settings *s, struct rte_mempool *pool)
{
    memset(p, 0, sizeof *p);
    p->id = id;
    must(p, rte_eth_dev_get_name_by_port(id, p->name), "it has no name");
    configure(p, s, pool);
    must(p, rte_eth_dev_start(id), "it does not start");
    must(p, rte_eth_promiscuous_enable(id), "it cannot take every packet");
    wait_link(p, s->link_ms);
}

void port_close(struct port *p)
{
    must(p, rte_eth_dev_stop(p->id), "it does not stop");
    must(p, rte_eth_dev_close(p->id), "it does not close");
}

uint64_t port_missed(const struct port *p)
{
    struct rte_eth_stats stats;

    must(p, rte_eth_stats_get(p->id, &stats), "its counters");
    return stats.imissed + stats.ierrors + stats.rx_nombuf;
}

void port_say(const struct port *p)
{
    json_open(NULL);
    json_text("name", p->name);
    json_text("driver", p->driver);
    json_number("tx_ring", p->tx_ring);
    json_number("rx_ring", p->rx_ring);
    json_number("frame_max", p->frame_max);
    json_number("missed", port_missed(p));
    json_close();
}
