//! The rules of the house that no lint can check.
