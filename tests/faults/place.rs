//! A place for bakes: a cloud, a proxy before it, and a directory. What a bake left there is compared with what it reported.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bakelite_test_support::account::{self, Account};
use bakelite_test_support::clouds::Cloud;
use bakelite_test_support::context::{Ran, TestContext};
use bakelite_test_support::ended;
use bakelite_test_support::faults::{Call, Fault, FaultProxy};
use bakelite_test_support::test_context;

use crate::bakes::{Bake, REGIONS};

/// How long a bake may go on whose calls fail for good: docs/guide/clean-up.md has how long each part of it takes.
const LIMIT: Duration = Duration::from_mins(5);

/// How what a killed bake left is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Collect {
    /// By its journal.
    Journal,
    /// By its tags: the journal is lost.
    Sweep,
}

/// A cloud of its own with a proxy.
pub(crate) struct Place {
    context: TestContext,
    cloud: Cloud,
    proxy: FaultProxy,
}

/// How a bake ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) ran: Ran,
    pub(crate) took: Duration,
    /// Its calls.
    pub(crate) calls: Vec<Call>,
    /// The fault, if it struck.
    fault: Option<Fault>,
    /// How many of them the fault struck.
    pub(crate) struck: usize,
    /// What is wrong with what it left.
    pub(crate) problems: Vec<String>,
}

impl Place {
    /// With these flags of the cloud.
    pub(crate) fn new(flags: &[&str]) -> Place {
        let context = test_context!();
        let flags: Vec<&str> = ["-ssh-port", "0"].iter().chain(flags).copied().collect();
        let cloud = Cloud::local(&context, &flags);
        let proxy = FaultProxy::before(&cloud.endpoint);
        let context = context.on(&cloud).with("AWS_ENDPOINT_URL", &proxy.url);
        Place { context, cloud, proxy }
    }

    /// Bakes with a fault, and looks at what is left. `more` is added to the source.
    pub(crate) fn bake(&self, bake: &Bake, more: &str, fault: Option<(Call, Fault)>, collect: Collect) -> End {
        self.remove_images();
        if bake.replaces {
            self.make_images(bake);
        }
        let before = self.account();
        let mut end = self.run_bake(bake, more, fault);
        let mut judge = Judge::of(bake, &end, self.reported(), &before);
        if judge.fault == Some(Fault::Kill) {
            self.collect(collect, &mut judge);
            judge.killed(&self.account(), collect);
        } else {
            let after = self.account();
            judge.ended(&end.ran, &after);
            let left = judge.left(&after);
            // What could not be seen to be gone stays in the journal.
            let unseen = judge.fault.is_some_and(Fault::is_for_good) && !self.context.journals().is_empty();
            if left.is_empty() && !unseen {
                self.has_no_journal(&mut judge);
            } else {
                judge.named(&left, &after);
                self.collect(Collect::Journal, &mut judge);
                let left = judge.left(&self.account());
                if !left.is_empty() {
                    judge.wrong(format!("gc leaves {left:?}"));
                }
            }
        }
        end.problems.extend(judge.problems);
        end
    }

    /// The same on a cloud that hides what is new. What it hid is seen when it is opened again, without that.
    pub(crate) fn bake_late(mut self, bake: &Bake, fault: Option<(Call, Fault)>) -> End {
        let before = self.account();
        let mut end = self.run_bake(bake, "", fault);
        drop(self.cloud);
        self.cloud = Cloud::local(&self.context, &["-ssh-port", "0"]);
        let mut judge = Judge::of(bake, &end, self.reported(), &before);
        let after = self.account();
        judge.ended(&end.ran, &after);
        let left = judge.left(&after);
        if !left.is_empty() {
            judge.wrong(format!("left: {left:?}"));
        }
        self.has_no_journal(&mut judge);
        end.problems.extend(judge.problems);
        end
    }

    fn run_bake(&self, bake: &Bake, more: &str, fault: Option<(Call, Fault)>) -> End {
        self.context.template(&bake.template(more));
        let kind = fault.as_ref().map(|(_, fault)| *fault);
        self.proxy.arm(fault);
        let begun = Instant::now();
        let (ran, ended) = self.run(&["build", "t.pkr.hcl"]);
        let took = begun.elapsed();
        let (calls, struck) = (self.proxy.calls(), self.proxy.struck());
        self.proxy.settle();
        self.proxy.arm(None);
        let late = (!ended).then(|| format!("did not end within {LIMIT:?}"));
        End {
            ran,
            took,
            calls,
            fault: kind.filter(|_| struck > 0),
            struck,
            problems: late.into_iter().collect(),
        }
    }

    fn has_no_journal(&self, judge: &mut Judge<'_>) {
        let journals = self.context.journals();
        if !journals.is_empty() {
            judge.wrong(format!("nothing is left, but journals: {journals:?}"));
        }
    }

    fn account(&self) -> Account {
        Account::of(&self.cloud.endpoint, &REGIONS)
    }

    /// Runs the binary; answers also whether it ended by itself.
    fn run(&self, arguments: &[&str]) -> (Ran, bool) {
        let child = self.context.start(arguments);
        self.proxy.watch(child.id());
        let (output, ended) = ended::output_within(child, LIMIT);
        (Ran::from(output), ended)
    }

    /// Removes what a bake left.
    fn collect(&self, how: Collect, judge: &mut Judge<'_>) {
        let arguments: &[&str] = match how {
            Collect::Journal => &["gc"],
            Collect::Sweep => {
                for journal in self.context.journals() {
                    let _ = std::fs::remove_file(journal);
                }
                &["gc", "-sweep", "-older-than", "0s", "-remove"]
            }
        };
        let (ran, ended) = self.run(arguments);
        if !ended || ran.code != Some(0) {
            judge.wrong(format!("{arguments:?} failed: {}{}", ran.stdout, ran.stderr));
        }
        let journals = self.context.journals();
        if !journals.is_empty() {
            judge.wrong(format!(
                "{arguments:?} leaves journals: {journals:?} {}{}",
                ran.stdout, ran.stderr
            ));
        }
    }

    /// The ids that the manifest of the bake reports.
    fn reported(&self) -> BTreeSet<String> {
        let manifest = self.context.work().join("packer-manifest.json");
        let Ok(text) = std::fs::read_to_string(&manifest) else {
            return BTreeSet::new();
        };
        std::fs::remove_file(manifest).unwrap();
        let (_, ids) = text.split_once("\"artifact_id\": \"").unwrap();
        let (ids, _) = ids.split_once('"').unwrap();
        let ids = ids.split([',', ' ']).filter(|id| !id.is_empty());
        ids.map(|id| id.rsplit(':').next().unwrap_or(id).to_owned()).collect()
    }

    fn ec2(&self, region: &str, action: &str, parameters: &[(&str, &str)]) -> account::Answer {
        account::call(&self.cloud.endpoint, "ec2", region, action, parameters)
    }

    /// Removes the AMIs and snapshots that are there.
    fn remove_images(&self) {
        let account = self.account();
        for (id, image) in &account.images {
            self.ec2(
                &image.region,
                "DisableImageDeregistrationProtection",
                &[("ImageId", id)],
            );
            self.ec2(&image.region, "DeregisterImage", &[("ImageId", id)]);
        }
        for (id, region) in &account.snapshots {
            self.ec2(region, "DeleteSnapshot", &[("SnapshotId", id)]);
        }
    }

    /// Puts AMIs of the bake's name where it will make its own.
    fn make_images(&self, bake: &Bake) {
        let (name, regions) = bake.images;
        let any = [
            ("Owner.1", "099720109477"),
            ("Filter.1.Name", "name"),
            ("Filter.1.Value.1", "ubuntu*jammy*"),
        ];
        let base = self.ec2("us-east-1", "DescribeImages", &any).all("imageId");
        for region in regions {
            let copy = [
                ("SourceRegion", "us-east-1"),
                ("SourceImageId", base[0].as_str()),
                ("Name", name),
            ];
            self.ec2(region, "CopyImage", &copy);
        }
    }
}

/// The line before what a bake could not remove.
const NOT_REMOVED: &str = "could not be removed";

/// Compares what is left with what was reported.
struct Judge<'a> {
    bake: &'a Bake,
    /// The fault, if it struck.
    fault: Option<Fault>,
    output: String,
    reported: BTreeSet<String>,
    before: &'a Account,
    problems: Vec<String>,
}

impl<'a> Judge<'a> {
    fn of(bake: &'a Bake, end: &End, reported: BTreeSet<String>, before: &'a Account) -> Self {
        Self {
            bake,
            fault: end.fault,
            output: format!("{}{}", end.ran.stdout, end.ran.stderr),
            reported,
            before,
            problems: Vec::new(),
        }
    }

    fn wrong(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }

    /// The images that were not there before.
    fn new_images(&self, after: &Account) -> BTreeSet<String> {
        let new = after.images.keys().filter(|id| !self.before.images.contains_key(*id));
        new.cloned().collect()
    }

    /// Everything that is there, was not there before, and was not reported as made.
    fn left(&self, after: &Account) -> BTreeSet<String> {
        let mut left: BTreeSet<String> = after.temporary.difference(&self.before.temporary).cloned().collect();
        let of_images = after
            .images
            .iter()
            .filter(|(id, _)| self.reported.contains(*id))
            .flat_map(|(_, image)| &image.snapshots);
        let stays: BTreeSet<&String> = of_images.chain(&self.reported).collect();
        let known = |id: &&String| {
            let before = self.before;
            before.volumes.contains(*id) || before.snapshots.contains_key(*id) || before.images.contains_key(*id)
        };
        let made = after
            .volumes
            .iter()
            .chain(after.snapshots.keys())
            .chain(after.images.keys());
        left.extend(made.filter(|id| !known(id) && !stays.contains(*id)).cloned());
        left
    }

    /// What is left is there for a reason, and the output names it.
    fn named(&mut self, left: &BTreeSet<String>, after: &Account) {
        if !self.fault.is_some_and(Fault::is_for_good) {
            self.wrong(format!("left: {left:?}"));
        }
        if !self.output.contains(NOT_REMOVED) {
            self.wrong("it is not said that something is left");
        }
        let images = after.images.iter().filter(|(id, _)| left.contains(*id));
        let of_images: BTreeSet<&String> = images.flat_map(|(_, image)| &image.snapshots).collect();
        let has_instance = left.iter().any(|what| what.starts_with("instance "));
        // An instance's volumes are left with it, and an AMI's snapshots.
        for what in left
            .iter()
            .filter(|what| !(of_images.contains(what) || has_instance && what.starts_with("vol-")))
        {
            let id = what.split(' ').next_back().unwrap_or(what);
            if !self.output.contains(id) {
                self.wrong(format!("left and not named: {what}"));
            }
        }
    }

    /// A bake that ended by itself.
    fn ended(&mut self, ran: &Ran, after: &Account) {
        if self.output.contains("panicked") || !matches!(ran.code, Some(0 | 1)) {
            self.wrong(format!("ended with {:?}", ran.code));
        }
        let launched = after.launched.difference(&self.before.launched).count();
        if launched > 1 {
            self.wrong(format!("{launched} instances were launched"));
        }
        for id in &self.reported {
            if !after.images.contains_key(id) && !after.volumes.contains(id) && !after.snapshots.contains_key(id) {
                self.problems.push(format!("reported and not there: {id}"));
            }
        }
        let (name, regions) = self.bake.images;
        if ran.code == Some(0) {
            let mut new = self.new_images(after);
            // What is there beside them is looked at as what is left.
            new.retain(|id| self.reported.contains(id));
            let made: BTreeSet<_> = new.iter().map(|id| after.images[id].region.as_str()).collect();
            let wanted: BTreeSet<_> = regions.iter().copied().collect();
            if made != wanted || new.len() != wanted.len() {
                self.wrong(format!("AMIs are in {made:?}: {new:?}"));
            }
            for id in &new {
                let image = &after.images[id];
                if image.name != name || image.state != "available" {
                    self.wrong(format!("{id} is {image:?}"));
                }
                if image.tags.iter().any(|key| key.starts_with("bakelite:")) {
                    self.wrong(format!("{id} has tags of temporary resources: {:?}", image.tags));
                }
            }
            let count = new.len() + self.bake.volumes + self.bake.snapshots;
            if self.reported.len() != count {
                self.wrong(format!("{count} were to be reported, not {:?}", self.reported));
            }
            let old = self.before.images.keys().chain(self.before.snapshots.keys());
            let old: Vec<_> = old.filter(|_| self.bake.replaces).collect();
            let kept: Vec<_> = old
                .iter()
                .filter(|id| after.images.contains_key(**id) || after.snapshots.contains_key(**id))
                .collect();
            if !kept.is_empty() {
                self.wrong(format!("did not give way: {kept:?}"));
            }
        } else {
            for (id, image) in self
                .before
                .images
                .iter()
                .filter(|(id, _)| !after.images.contains_key(*id))
            {
                for snapshot in image.snapshots.iter().filter(|id| after.snapshots.contains_key(*id)) {
                    if !self.output.contains(snapshot.as_str()) {
                        self.problems
                            .push(format!("{snapshot} of {id}, which gave way, is left and not named"));
                    }
                }
            }
        }
    }

    /// A bake that was killed, after what it left was removed. What was finished stays.
    fn killed(&mut self, after: &Account, collect: Collect) {
        let new = self.new_images(after);
        for id in &new {
            let image = &after.images[id];
            let is_finished = image.name == self.bake.images.0 && image.state == "available";
            let is_marked = image.tags.iter().any(|key| key.starts_with("bakelite:"));
            if !is_finished || is_marked {
                self.wrong(format!("unfinished {id}: {image:?}"));
            }
        }
        if collect == Collect::Journal && !new.is_empty() && new.len() != self.bake.images.1.len() {
            self.wrong(format!("some of the AMIs were kept: {new:?}"));
        }
        self.reported.extend(new);
        let mut left = self.left(after);
        // Volumes and snapshots that a bake is for have no name to know them by.
        if left
            .iter()
            .all(|what| what.starts_with("vol-") || what.starts_with("snap-"))
            && left.len() == self.bake.volumes + self.bake.snapshots
        {
            left.clear();
        }
        if !left.is_empty() {
            self.wrong(format!("{collect:?} leaves {left:?}"));
        }
    }
}
