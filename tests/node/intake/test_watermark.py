from survnode.node import errors
from survnode.node.intake.watermark import DiskWatermark


def test_the_watermark_refuses_until_there_is_room_again() -> None:
    free = [50]
    watermark = DiskWatermark(20, 40, lambda: free[-1])
    watermark.check()
    answers = []
    for amount in (20, 19, 39, 40, 21, 19):
        free.append(amount)
        try:
            watermark.check()
        except errors.StorageFull:
            answers.append((amount, "refused"))
        else:
            answers.append((amount, "taken"))
    assert answers == [
        (20, "taken"),
        (19, "refused"),
        (39, "refused"),
        (40, "taken"),
        (21, "taken"),
        (19, "refused"),
    ]
