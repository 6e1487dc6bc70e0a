//! Backups against real stores: a folder, an S3 server, and stock restic as the judge of our format.

#[cfg(test)]
mod damage;
#[cfg(test)]
#[path = "../../../tests/harness/installed.rs"]
mod installed;
#[cfg(test)]
mod interrupted;
#[cfg(test)]
mod maintain;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod restic;
#[cfg(test)]
mod s3;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod support;
#[cfg(test)]
mod task;
