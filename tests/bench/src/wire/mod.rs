//! The two protocols, as little of them as a bench needs, so that neither generator nor floor is the limit.

pub mod http;
pub mod mqtt;
