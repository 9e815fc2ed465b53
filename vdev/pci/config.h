/*
 * PCI configuration space: register offsets and fields, in the order of the specifications.
 * [PCI n.n] is PCI Local Bus 3.0, [PCIe n.n] is PCI Express Base 5.0, [VIRTIO n.n] is VIRTIO 1.2.
 */
#ifndef VDEV_PCI_CONFIG_H
#define VDEV_PCI_CONFIG_H

#include <stdint.h>

#define PCI_CONFIG_BYTES 256u
#define PCI_CONFIG_EXTENDED_BYTES 4096u
#define PCI_ABSENT UINT32_C(0xffffffff) /* what a read of nothing gives */

/* Header, all types [PCI 6.1; PCIe 7.5.1.1] */
#define PCI_ID 0x00u      /* vendor 15:0, device 31:16 */
#define PCI_COMMAND 0x04u /* command 15:0, status 31:16 */
#define PCI_COMMAND_IO 0x0001u
#define PCI_COMMAND_MEMORY 0x0002u
#define PCI_COMMAND_MASTER 0x0004u
#define PCI_COMMAND_PARITY 0x0040u
#define PCI_COMMAND_SERR 0x0100u
#define PCI_COMMAND_INTX_OFF 0x0400u
#define PCI_STATUS_CAPS 0x00100000u /* in the dword at PCI_COMMAND */
#define PCI_CLASS 0x08u             /* revision 7:0, interface 15:8, subclass 23:16, class 31:24 */
#define PCI_HEADER 0x0cu /* cache line 7:0, latency 15:8, header type 23:16, BIST 31:24 */
#define PCI_HEADER_TYPE(dword) (((dword) >> 16) & 0x7fu)
#define PCI_HEADER_MULTI 0x00800000u
#define PCI_HEADER_CACHE_LINE 0x000000ffu
#define PCI_BAR(n) (0x10u + 4u * (n))
#define PCI_BAR_COUNT 6u
#define PCI_BRIDGE_BAR_COUNT 2u
#define PCI_CAP_POINTER 0x34u
#define PCI_INTERRUPT 0x3cu /* line 7:0, pin 15:8 */
#define PCI_INTERRUPT_LINE 0x000000ffu
#define PCI_CAPS_START 0x40u

/* Base address registers [PCI 6.2.5.1; PCIe 7.5.1.2.1] */
#define PCI_BAR_IS_IO 0x1u
#define PCI_BAR_TYPE 0x6u
#define PCI_BAR_TYPE_32 0x0u
#define PCI_BAR_TYPE_64 0x4u
#define PCI_BAR_IS_PREFETCH 0x8u
#define PCI_BAR_MEMORY_FLAGS 0xfu

/* Type 0 header */
#define PCI_SUBSYSTEM 0x2cu
#define PCI_ROM 0x30u

/* Type 1 header: bridges [PCIe 7.5.1.3] */
#define PCI_BUSES 0x18u /* primary 7:0, secondary 15:8, subordinate 23:16, latency 31:24 */
#define PCI_BRIDGE_IO 0x1cu
#define PCI_BRIDGE_MEMORY 0x20u /* base 15:4 and limit 31:20 are address bits 31:20 */
#define PCI_BRIDGE_PREFETCH 0x24u
#define PCI_BRIDGE_PREFETCH_64 0x1u /* low nibble of the base says 64 bits */
#define PCI_BRIDGE_PREFETCH_HIGH 0x28u
#define PCI_BRIDGE_PREFETCH_LIMIT_HIGH 0x2cu
#define PCI_BRIDGE_IO_HIGH 0x30u
#define PCI_BRIDGE_ROM 0x38u
#define PCI_BRIDGE_CONTROL 0x3cu /* control 31:16 */
#define PCI_BRIDGE_CONTROL_RESET 0x00400000u
#define PCI_BRIDGE_GRAIN UINT64_C(0x100000)

/* Capabilities: id 7:0, next 15:8 [PCI 6.7] */
#define PCI_CAP_PM 0x01u
#define PCI_CAP_MSI 0x05u
#define PCI_CAP_VENDOR 0x09u
#define PCI_CAP_PCIE 0x10u
#define PCI_CAP_MSIX 0x11u
#define PCI_CAP_AF 0x13u

/* Power management [PCIe 7.5.2] */
#define PCI_PM_BYTES 8u
#define PCI_PM_VERSION 0x00070000u /* in the first dword */
#define PCI_PM_CONTROL 4u
#define PCI_PM_STATE 0x3u
#define PCI_PM_D3HOT 0x3u
#define PCI_PM_NO_SOFT_RESET 0x8u
#define PCI_PM_PME_STATUS 0x8000u

/* MSI [PCIe 7.7.1]; the fields of message control stand in the first dword */
#define PCI_MSI_ENABLE 0x00010000u
#define PCI_MSI_CAPABLE 0x000e0000u /* log2 of vectors asked for */
#define PCI_MSI_VECTORS 0x00700000u /* log2 of vectors given */
#define PCI_MSI_64 0x00800000u
#define PCI_MSI_MASKABLE 0x01000000u
#define PCI_MSI_ADDRESS 4u

/* MSI-X [PCIe 7.7.2] */
#define PCI_MSIX_BYTES 12u
#define PCI_MSIX_SIZE 0x07ff0000u /* entries less one */
#define PCI_MSIX_MASK_ALL 0x40000000u
#define PCI_MSIX_ENABLE 0x80000000u
#define PCI_MSIX_TABLE 4u /* BAR 2:0, offset 31:3 */
#define PCI_MSIX_PENDING 8u
#define PCI_MSIX_BAR 0x7u
#define PCI_MSIX_ENTRY_BYTES 16u

/* PCI Express [PCIe 7.5.3] */
#define PCI_EXP_BYTES_V1 0x14u
#define PCI_EXP_BYTES_V2 0x3cu
#define PCI_EXP_VERSION 0x000f0000u /* in the first dword */
#define PCI_EXP_TYPE 0x00f00000u
#define PCI_EXP_TYPE_ENDPOINT 0u
#define PCI_EXP_TYPE_ROOT_PORT 4u
#define PCI_EXP_TYPE_UPSTREAM 5u
#define PCI_EXP_TYPE_DOWNSTREAM 6u
#define PCI_EXP_TYPE_TO_PCI 7u
#define PCI_EXP_TYPE_FROM_PCI 8u
#define PCI_EXP_TYPE_INTEGRATED 9u
#define PCI_EXP_DEVCAP 4u
#define PCI_EXP_DEVCAP_FLR 0x10000000u
#define PCI_EXP_DEVCAP_ROLE_ERRORS 0x00008000u
#define PCI_EXP_DEVCTL 8u /* control 15:0, status 31:16 */
#define PCI_EXP_DEVCTL_FLR 0x00008000u
#define PCI_EXP_DEVSTA_PENDING 0x00200000u

/* Advanced features [PCI ECN Advanced Capabilities] */
#define PCI_AF_BYTES 6u
#define PCI_AF_CAPS_TP 0x01000000u /* in the first dword */
#define PCI_AF_CAPS_FLR 0x02000000u
#define PCI_AF_CONTROL 4u /* control 7:0, status 15:8 */
#define PCI_AF_CONTROL_FLR 0x1u
#define PCI_AF_STATUS_PENDING 0x100u

/* Extended capabilities: id 15:0, version 19:16, next 31:20 [PCIe 7.6.3] */
#define PCI_EXT_START 0x100u
#define PCI_EXT_ACS 0x000du
#define PCI_EXT_ATS 0x000fu
#define PCI_EXT_SRIOV 0x0010u
#define PCI_EXT_PRI 0x0013u
#define PCI_EXT_PASID 0x001bu

#define PCI_ACS_SV 0x01u /* capability 15:0 and control 31:16 of the dword at +4 */
#define PCI_ACS_RR 0x04u
#define PCI_ACS_CR 0x08u
#define PCI_ACS_UF 0x10u
#define PCI_ACS_WANTED (PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF)
#define PCI_ACS_WORD 4u
#define PCI_ATS_WORD 4u /* control 31:16 */
#define PCI_ATS_ENABLE 0x80000000u
#define PCI_PRI_WORD 4u /* control 15:0, status 31:16 */
#define PCI_PRI_ENABLE 0x1u
#define PCI_PASID_WORD 4u /* control 31:16 */
#define PCI_PASID_ENABLE 0x00010000u
#define PCI_SRIOV_WORD 8u /* control 15:0, status 31:16 */
#define PCI_SRIOV_ENABLE 0x1u
#define PCI_SRIOV_MEMORY 0x8u /* virtual functions decode their BARs */

/* Class codes, 24 bits: class, subclass, interface */
#define PCI_CLASS_NVME 0x010802u
#define PCI_CLASS_IOMMU 0x080600u
#define PCI_CLASS_PERIPHERAL 0x088000u

/* VIRTIO over PCI [VIRTIO 4.1.2, 4.1.4] */
#define VIRTIO_VENDOR 0x1af4u
#define VIRTIO_DEVICE_FIRST 0x1000u
#define VIRTIO_DEVICE_LAST 0x107fu
#define VIRTIO_CAP_BYTES 16u
#define VIRTIO_CAP_LEN(dword) (((dword) >> 16) & 0xffu)
#define VIRTIO_CAP_TYPE(dword) ((dword) >> 24)
#define VIRTIO_CAP_TYPE_COMMON 1u
#define VIRTIO_CAP_TYPE_PCI 5u
#define VIRTIO_CAP_BAR 4u /* 7:0 */
#define VIRTIO_CAP_OFFSET 8u
#define VIRTIO_CAP_LENGTH 12u
#define VIRTIO_COMMON_FEATURE_SELECT 0u
#define VIRTIO_COMMON_FEATURE 4u
#define VIRTIO_COMMON_STATUS 20u /* status 7:0, generation 15:8, queue selector 31:16 */
#define VIRTIO_COMMON_BYTES 56u
#define VIRTIO_F_ACCESS_PLATFORM 33u

#endif
