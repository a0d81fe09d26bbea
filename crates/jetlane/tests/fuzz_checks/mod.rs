//! The checks that the fuzz targets of envelopes and the replay of their corpus share.

pub(crate) mod envelopes;
