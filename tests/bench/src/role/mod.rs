//! What runs as a process of its own, on its own core: the generator, the sink, the floors. Each prints JSON lines.

pub mod floor;
pub mod generate;
pub mod sink;
pub mod webhooks;
