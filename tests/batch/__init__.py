"""Tests of the room that restores many scans."""
