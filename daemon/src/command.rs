//! The command line.
#![allow(dead_code)]
pub(crate) mod page;
pub(crate) mod show;
pub(crate) mod text;
