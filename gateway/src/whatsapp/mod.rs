//! (a map, to be written)
