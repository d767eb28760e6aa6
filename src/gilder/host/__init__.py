"""This Linux machine: programs, devices, mounts, chroots; knows no Azure."""
