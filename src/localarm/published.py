"""Which api-versions each type of resource has: those that Azure has published, and none of another type's.

From Azure's SDKs for Python (azure-mgmt-compute 33 and 39 name them by type) and from recordings: two of machines that no SDK
names were answered (`stats/shapes.json`).
"""

from __future__ import annotations

from localarm.arm import Address

MACHINES = (
    "2015-06-15", "2016-03-30", "2016-04-30-preview", "2017-03-30", "2017-12-01", "2018-04-01", "2018-06-01", "2018-10-01",
    "2019-03-01", "2019-07-01", "2019-12-01", "2020-06-01", "2020-12-01", "2021-03-01", "2021-04-01", "2021-05-01",
    "2021-07-01", "2021-11-01", "2022-03-01", "2022-06-01", "2022-08-01", "2022-11-01", "2023-03-01", "2023-07-01",
    "2023-09-01", "2024-03-01", "2024-07-01", "2024-11-01", "2025-04-01", "2025-11-01", "2026-03-01", "2026-04-01",
)  # fmt: skip
"""Of machines, images and what lies in locations."""
DISKS = (
    "2016-04-30-preview", "2017-03-30", "2018-04-01", "2018-06-01", "2018-09-30", "2019-03-01", "2019-07-01", "2019-11-01",
    "2020-05-01", "2020-06-30", "2020-09-30", "2020-12-01", "2021-04-01", "2021-08-01", "2021-12-01", "2022-03-02",
    "2022-07-02", "2023-01-02", "2023-04-02", "2023-10-02", "2024-03-02", "2025-01-02", "2026-03-02",
)  # fmt: skip
"""Of disks and snapshots."""
GALLERIES = (
    "2018-06-01", "2019-03-01", "2019-07-01", "2019-12-01", "2020-09-30", "2021-07-01", "2021-10-01", "2022-01-03",
    "2022-03-03", "2022-08-03", "2023-07-03", "2024-03-03", "2025-03-03", "2025-12-03", "2026-03-03",
)  # fmt: skip
"""Of galleries and what lies in them."""
SIZES = ("2017-03-30", "2017-09-01", "2019-04-01", "2021-07-01")
TYPES = {
    "virtualmachines": MACHINES, "images": MACHINES, "locations": tuple(sorted({*MACHINES, *DISKS, *GALLERIES})),
    "disks": DISKS, "snapshots": DISKS, "galleries": GALLERIES, "skus": SIZES,
}  # fmt: skip
"""By first type. Operations are polled in locations by the api-version of their request."""


def published(address: Address) -> tuple[str, ...]:
    """The api-versions of what is addressed; none are told of Resource Manager itself."""
    compute = address.namespace.lower() == "microsoft.compute"
    return TYPES.get(address.types[0].lower(), ()) if compute and address.types else ()
