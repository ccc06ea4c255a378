"""BIDS: restore the anatomical images of a dataset into a BIDS derivative."""

from uqrestore.bids.app import restore_group, restore_participants
from uqrestore.bids.find import SUFFIXES, BidsScan, find_scans

__all__ = ["SUFFIXES", "BidsScan", "find_scans", "restore_group", "restore_participants"]
