"""What all readers share."""

from ...common.records import AnyRecord, Count, Estimate, Record, read_record

Part = Record
METRICS = ("auc", "average_precision", "f1", "accuracy")

__all__ = ["METRICS", "AnyRecord", "Count", "Estimate", "Part", "Record", "read_record"]
