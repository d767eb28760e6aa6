"""The `file` provisioner: files and directories in and out of the guest."""

from __future__ import annotations

from gilder.host.guest import Guest
from gilder.model.errors import UserError
from gilder.model.provisioners import FileProvisioner
from gilder.provision.context import ProvisionContext


async def run_file(guest: Guest, spec: FileProvisioner, context: ProvisionContext) -> None:
    """Copy every source, or the content, to the destination.

    Relative paths of this machine start at the working directory. Raises HostError when a copy fails, which leaves what was
    copied before in place; UserError when a text cannot be rendered.
    """
    data = context.template_data()
    destination = spec.destination.render(data)
    if spec.content is not None:
        if destination.endswith("/"):
            raise UserError(f"file: destination {destination} must name a file for content")
        context.say(f"Uploading content => {destination}")
        await guest.fill(destination, spec.content.render(data).encode(errors="surrogateescape"))
    for text in spec.sources:
        source = text.render(data)
        if spec.direction == "upload":
            context.say(f"Uploading {source} => {destination}")
            await guest.upload(source, destination)
        else:
            context.say(f"Downloading {source} => {destination}")
            await guest.download(source, destination)
