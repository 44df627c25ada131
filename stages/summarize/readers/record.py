"""What all readers share."""

from ...common.records import METRICS, AnyRecord, Count, Estimate, Record, read_record

Part = Record

__all__ = ["METRICS", "AnyRecord", "Count", "Estimate", "Part", "Record", "read_record"]
