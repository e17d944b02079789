//! Following and shipping, with real processes: writers, replicators, and the real Litestream as a judge.

mod kills;
mod scene;
mod shapes;
mod storm;
