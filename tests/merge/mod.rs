//! History that merges: the same states from fewer objects.

mod day;
mod processes;
mod stage;
