//! The journal's contract: what every engine that keeps the record has to hold. Each test is generic over the engine, so
//! that another one (PostgreSQL) runs the same suite; each promise has a negative control where one can be built.

#[cfg(test)]
mod bench;
#[cfg(test)]
mod chain;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod doubt;
#[cfg(test)]
mod jobs;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod record;
#[cfg(test)]
mod silence;
#[cfg(test)]
mod tick;
