"""A table that falls out of use: its frame is used again only when nothing walks it any more."""
from cordon import Cause, Platform

PAGE, GPA = 0x1000, 0x8000_0000


def test_frame_of_a_table_that_went_leads_nobody_anywhere():
    """The device's IOMMU has seen the word that led to the table; who has the frame next writes words of
    its own choice into it."""
    with Platform("model") as platform:
        context, device = platform.context, platform.device("00:02.0")
        red = platform.guest("red")
        red.grant(GPA, context.scatter("4K", pieces=[0]), "rw")
        red.grant(GPA + (4 << 20), context.scatter("4K", pieces=[0]), "rw")
        with red.assign(device):
            device.dma.write(GPA, b"mine")
            table = red.domain.walk(GPA, view=1).steps[-1].word.v & -PAGE
            secret = context.alloc(PAGE)
            red.revoke(GPA, PAGE)
            while context.alloc(PAGE).hpa.v != table:
                pass
            context.write(table, (secret.hpa.v >> 2 | 0xdf).to_bytes(8, "little") * 512)
            with platform.expect_fault(device, Cause.WRITE_GUEST_PAGE, GPA):
                device.dma.write(GPA, b"stolen")
            assert context.read(secret.hpa, 6) == bytes(6)
