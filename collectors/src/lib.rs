//! What goes in: probes that look at the world, and the ingest that takes what the world sends. Collectors remember no
//! status: every result goes to the journal's writer, which compares it with what held at its turn.

pub mod ingest;
pub mod probe;
