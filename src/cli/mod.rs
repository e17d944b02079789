//! The command line: the only part that prints.

pub mod args;
pub mod argv;
pub mod duration;
pub mod table;
