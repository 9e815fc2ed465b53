/* A frame from port 0 to port 1, by DPDK. */
#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include <stdio.h>
#include <string.h>

static int start(uint16_t port, struct rte_mempool *pool)
{
    struct rte_eth_conf conf = {0};

    if (rte_eth_dev_configure(port, 1, 1, &conf) != 0 ||
        rte_eth_rx_queue_setup(port, 0, 256, 0, NULL, pool) != 0 ||
        rte_eth_tx_queue_setup(port, 0, 256, 0, NULL) != 0 || rte_eth_dev_start(port) != 0) {
        return -1;
    }
    return rte_eth_promiscuous_enable(port);
}

int main(int argc, char **argv)
{
    static const char frame[64] = "\xff\xff\xff\xff\xff\xff\2cordn\x88\xb5hello from port 0";
    struct rte_mbuf *m;

    if (rte_eal_init(argc, argv) < 0 || rte_eth_dev_count_avail() < 2) {
        rte_exit(1, "huge pages and two cards are needed\n");
    }
    struct rte_mempool *pool =
        rte_pktmbuf_pool_create("pool", 1024, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);

    if (pool == NULL || start(0, pool) != 0 || start(1, pool) != 0) {
        rte_exit(1, "a port does not start\n");
    }
    for (int tries = 0; tries < 200; tries++) { /* the links come up in their own time */
        m = rte_pktmbuf_alloc(pool);
        memcpy(rte_pktmbuf_append(m, sizeof(frame)), frame, sizeof(frame));
        if (rte_eth_tx_burst(0, 0, &m, 1) == 0) {
            rte_pktmbuf_free(m);
        }
        rte_delay_ms(10);
        if (rte_eth_rx_burst(1, 0, &m, 1) == 1) {
            printf("port 1 has %u bytes: %s\n", m->pkt_len, rte_pktmbuf_mtod(m, char *) + 14);
            return 0;
        }
    }
    rte_exit(1, "no frame came in 2 seconds\n");
}
