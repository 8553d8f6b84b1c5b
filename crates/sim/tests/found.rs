//! What simulated worlds have found, each with the worlds in which it came about: they keep their promises since.

#[cfg(test)]
mod tests {
    use andon_sim::{
        Plan,
        plan::Action::{self, Kill, SetClock},
        run_plan,
    };

    /// The whole worlds of these seeds keep their promises.
    fn keep(seeds: &[u64]) {
        for seed in seeds {
            run_plan(&Plan::of(*seed)).unwrap_or_else(|failed| panic!("{failed}"));
        }
    }

    fn holds(seeds: std::ops::Range<u64>, mishaps: &[Action]) {
        for seed in seeds {
            run_plan(&Plan::of(seed).without_besides().with_only(mishaps)).unwrap_or_else(|failed| panic!("{failed}"));
        }
    }

    /// A silence was told from where the clock had been before it was set back: by the running loop, and not by one
    /// that reads the log again. A call that was made after the clock was set back went before the older ones of its
    /// key.
    #[test]
    fn a_clock_that_is_set() {
        holds(0..8, &[SetClock]);
    }

    /// After a restart a search came before the request had arrived that the process had sent just before its end.
    #[test]
    fn a_search_after_a_restart() {
        holds(20..26, &[Kill]);
    }

    /// A run waited for a search at one system while a younger one of its key, whose first call an edit had made
    /// superfluous, called another: calls go in the order in which they were made, not in that of the events of their
    /// runs.
    #[test]
    fn a_younger_run_that_comes_to_a_system_before_an_older_one() {
        keep(&[266]);
    }

    /// A sample that was uncertain and came too early was stored once more when its time was believed.
    #[test]
    fn a_sample_that_comes_again_once_its_time_is_believed() {
        run_plan(&Plan::of(26).without_besides()).unwrap_or_else(|failed| panic!("{failed}"));
    }

    /// A broker had lost its session and did not answer the next connect: of the one after that it said that there was
    /// a session, and a new message of QoS 2 was taken for the repeat of one that had the same packet id before.
    #[test]
    fn a_packet_id_of_a_session_that_was_lost_unnoticed() {
        keep(&[10_041]);
    }

    /// Not of the product, but of what these worlds took for a breach: processes that ended again and again had made an
    /// entry suspect that was not to blame, and rules passed it over, as they say.
    #[test]
    fn an_entry_that_rules_pass_over_and_have_told_of_before() {
        keep(&[10_300]);
    }

    /// The same of calls that a lost time had made by a route which was another, or none, after the restore.
    #[test]
    fn a_route_that_changes_around_a_restore() {
        keep(&[11_050, 12_178]);
    }

    /// The same of a call that a lost time had sent, and that is sent once more after the restore: the older run waited
    /// then for another system, and a younger one came first.
    #[test]
    fn a_call_of_a_lost_time_that_another_has_overtaken() {
        keep(&[10_693]);
    }

    /// A sync of the log had failed: nothing was taken any more, and the process went on until somebody came.
    #[test]
    fn a_log_that_has_stopped() {
        keep(&[10_735, 11_141]);
    }

    /// A group of the log had found no room; a reader had looked ahead and took what was left of it for what came in
    /// its place, which it called damaged.
    #[test]
    fn a_reader_that_has_seen_a_write_that_failed() {
        keep(&[13_814]);
    }

    /// A session had ended in a lost time, and its connect had begun another, without filters: who was restored since
    /// heard that there is one, and no gap told of what came before it had subscribed again.
    #[test]
    fn a_session_that_is_another_since_a_lost_time() {
        keep(&[18_518]);
    }

    /// Not of the product: a full disk had taken from the log what rules had not read, as it says; an event was passed
    /// over, as its exception says; and two restores happened in one second.
    #[test]
    fn what_the_product_tells_of_and_these_worlds_took_for_a_breach() {
        keep(&[15_537, 17_849, 19_171, 19_625]);
    }

    /// The same of a call that was refused, and that a lost time had sent once more.
    #[test]
    fn a_call_that_a_lost_time_has_made_though_it_is_refused() {
        keep(&[13_634, 13_721, 14_223]);
    }
}
