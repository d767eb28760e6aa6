"""gilder's engine against localarm in one process and in virtual time: hours of builds in seconds."""
