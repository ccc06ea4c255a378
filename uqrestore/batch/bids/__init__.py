"""BIDS: restore the anatomical images of a dataset into a BIDS derivative."""

from uqrestore.batch.bids.app import restore_group, restore_participants
from uqrestore.batch.bids.find import SUFFIXES, BidsScan, find_scans

__all__ = ["SUFFIXES", "BidsScan", "find_scans", "restore_group", "restore_participants"]
