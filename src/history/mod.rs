//! What a replica holds and what can be made of it. Pure: listings and seals in, plans out.

pub mod keys;

pub use keys::ObjectName;
