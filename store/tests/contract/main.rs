//! The journal's contract: what every engine that keeps the record has to hold. Each test is generic over the engine, so
//! that another one (PostgreSQL) runs the same suite; each promise has a negative control where one can be built.

mod bench;
mod chain;
mod disk;
mod doubt;
mod jobs;
mod record;
mod silence;
mod tick;
