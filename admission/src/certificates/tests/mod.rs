//! The life of certificates in a world of several replicas, as examples and at random.

mod examples;
mod random;
mod world;
