//! [`pass_on!`](crate::pass_on): a log over another one says what it does otherwise, and names what it only passes on.
//!
//! It exists so that such a log reads as its difference from the one below. What is neither written nor named
//! does not compile, or does what [`Log`](crate::Log) itself says.

/// Methods of [`Log`](crate::Log) that call the same one of the log in this field: `pass_on!(log: end, space);`.
#[macro_export]
macro_rules! pass_on {
    ($log:ident: $($method:ident),+ $(,)?) => { $($crate::pass_on!(@$method $log);)+ };
    (@append $to:ident) => {
        $crate::pass_on!(=$to append(
            group: &[$crate::Append<'_>], durability: $crate::Durability
        ) -> ::sluice_model::Result<$crate::Ticket>);
    };
    (@end $to:ident) => { $crate::pass_on!(=$to end() -> $crate::Lsn); };
    (@bounds $to:ident) => { $crate::pass_on!(=$to bounds(queue: $crate::LogQueue) -> $crate::Bounds); };
    (@next_offset $to:ident) => { $crate::pass_on!(=$to next_offset(queue: $crate::LogQueue) -> ::sluice_model::Offset); };
    (@read $to:ident) => {
        $crate::pass_on!(=$to read(
            queue: $crate::LogQueue, from: ::sluice_model::Offset, limits: &$crate::ReadLimits<'_>
        ) -> ::sluice_model::Result<$crate::Read>);
    };
    (@read_at $to:ident) => {
        $crate::pass_on!(=$to read_at(
            lsn: $crate::Lsn
        ) -> ::sluice_model::Result<Option<$crate::Entry>>);
    };
    (@offset_at $to:ident) => {
        $crate::pass_on!(=$to offset_at(
            queue: $crate::LogQueue, time: ::sluice_model::Millis
        ) -> ::sluice_model::Result<::sluice_model::Offset>);
    };
    (@offset_keeping $to:ident) => {
        $crate::pass_on!(=$to offset_keeping(
            queue: $crate::LogQueue, bytes: u64
        ) -> ::sluice_model::Result<::sluice_model::Offset>);
    };
    (@size $to:ident) => { $crate::pass_on!(=$to size(queue: $crate::LogQueue) -> ::sluice_model::Result<u64>); };
    (@maybe_born $to:ident) => {
        $crate::pass_on!(=$to maybe_born(
            queue: $crate::LogQueue, from: ::sluice_model::Offset, time: ::sluice_model::Millis
        ) -> ::sluice_model::Result<::sluice_model::Offset>);
    };
    (@find $to:ident) => { $crate::pass_on!(=$to find(search: &$crate::Search<'_>) -> ::sluice_model::Result<$crate::Found>); };
    (@states $to:ident) => {
        $crate::pass_on!(=$to states(
            from: $crate::Lsn, max_bytes: u64, visit: &mut dyn FnMut($crate::StateEntry<'_>)
        ) -> ::sluice_model::Result<$crate::Lsn>);
    };
    (@listen $to:ident) => { $crate::pass_on!(=$to listen(listener: $crate::Listener) -> ()); };
    (@forget $to:ident) => { $crate::pass_on!(=$to forget(queue: $crate::LogQueue) -> ()); };
    (@cut $to:ident) => { $crate::pass_on!(=$to cut(queue: $crate::LogQueue, below: ::sluice_model::Offset) -> ()); };
    (@replay $to:ident) => {
        $crate::pass_on!(=$to replay(
            from: $crate::Lsn, visit: &mut dyn FnMut($crate::Entry)
        ) -> ::sluice_model::Result<()>);
    };
    (@checkpoint $to:ident) => {
        $crate::pass_on!(=$to checkpoint() -> ::sluice_model::Result<Option<($crate::Lsn, ::bytes::Bytes)>>);
    };
    (@write_checkpoint $to:ident) => {
        $crate::pass_on!(=$to write_checkpoint(
            at: $crate::Lsn, state: &[u8]
        ) -> ::sluice_model::Result<()>);
    };
    (@trim $to:ident) => {
        $crate::pass_on!(=$to trim(
            older_than: ::sluice_model::Millis, pinned: $crate::Lsn
        ) -> ::sluice_model::Result<$crate::Lsn>);
    };
    (@buckets $to:ident) => { $crate::pass_on!(=$to buckets() -> &dyn $crate::Buckets); };
    (@space $to:ident) => { $crate::pass_on!(=$to space() -> $crate::Space); };
    (@scrub $to:ident) => { $crate::pass_on!(=$to scrub() -> ::sluice_model::Result<$crate::Scrubbed>); };
    (@damages $to:ident) => { $crate::pass_on!(=$to damages() -> Vec<$crate::Damage>); };
    (@listen_to_damage $to:ident) => { $crate::pass_on!(=$to listen_to_damage(listener: $crate::DamageListener) -> ()); };
    (@committer $to:ident) => {
        $crate::pass_on!(=$to committer() -> Option<::std::pin::Pin<Box<dyn Future<Output = ()> + Send>>>);
    };
    (@failed $to:ident) => {
        $crate::pass_on!(=$to failed() -> ::std::pin::Pin<Box<dyn Future<Output = ::sluice_model::Error> + Send>>);
    };
    (@close $to:ident) => { $crate::pass_on!(=$to close() -> ::sluice_model::Result<()>); };
    (=$to:ident $method:ident($($name:ident: $type:ty),*) -> $out:ty) => {
        fn $method(&self, $($name: $type),*) -> $out {
            self.$to.$method($($name),*)
        }
    };
}
