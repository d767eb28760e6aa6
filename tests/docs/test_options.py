"""docs/options.md: whole, current, and each row proved by a test that is there."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.docs.options import FILE, SECTIONS, page
from tests.docs.proofs import Proof

from gilder.model.spec import Auth, BuildSpec, GalleryDestination, TargetRegion

ROOT = Path(__file__).parents[2]
ELSEWHERE = {"name", "auth", "provisioners", "error_cleanup_provisioner", "post_processors", "sensitive"}
"""Fields of a build that are no options of the builder."""

REFERENCE = """
cloud_environment_name client_id client_secret client_cert_path client_jwt object_id tenant_id subscription_id
use_azure_cli_auth source from_scratch command_wrapper pre_mount_commands mount_options mount_partition mount_path
post_mount_commands chroot_mounts copy_files os_disk_size_gb os_disk_storage_account_type os_disk_cache_type
data_disk_storage_account_type data_disk_cache_type image_hyperv_generation temporary_os_disk_id
temporary_os_disk_snapshot_id temporary_data_disk_id_prefix temporary_data_disk_snapshot_id skip_cleanup image_resource_id
shared_image_destination target_regions replicas name storage_account_type exclude_from_latest
pre_unmount_commands manual_mount_command lvm_root_device skip_create_image metadata_host
"""
"""The options that Packer documents for the builder, the later ones in the last line."""

PROOFS = {f"{model.__name__}.{option}": proof for _, _, model, rows in SECTIONS for option, proof in rows.items()}


@pytest.mark.parametrize("model", [Auth, BuildSpec, GalleryDestination, TargetRegion])
def test_every_field_has_a_row(model: type) -> None:
    fields = set(model.model_fields) - (ELSEWHERE if model is BuildSpec else set())  # type: ignore[attr-defined]
    rows = {name.partition(".")[2] for name in PROOFS if name.startswith(f"{model.__name__}.")}
    assert fields == rows, "tests/docs/proofs.py has no row for a field, or one for none"


def test_every_option_of_the_reference_has_a_row() -> None:
    assert set(REFERENCE.split()) - {name.partition(".")[2] for name in PROOFS} == set()


@pytest.mark.parametrize("option", PROOFS)
def test_the_proof_of_an_option_exists(option: str) -> None:
    assert _exists(PROOFS[option]), f"there is no test {PROOFS[option].test}"


def _exists(proof: Proof) -> bool:
    file, _, name = proof.test.partition("::")
    function, _, parameter = name.rstrip("]").partition("[")
    text = (ROOT / file).read_text()
    functions = {
        node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    return function in functions and (not parameter or f'"{parameter}"' in text)


def test_the_page_is_current() -> None:
    assert FILE.read_text() == page(), "run: python -m tests.docs.options"
