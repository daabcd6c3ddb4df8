"""Tests of deploy/ and of the packages: wheel, image, compose file, systemd unit, chart."""
