//! The way of datagrams from the camera: some are lost, some are overtaken. The same seed loses the same ones.

use super::super::dice::Dice;
use super::Fault;

#[derive(Debug)]
pub(super) struct Network<T> {
    dice: Dice,
    /// Overtaken datagrams, and how many more overtake each.
    held: Vec<(u32, T)>,
}

impl<T> Network<T> {
    pub(super) fn new(seed: u64) -> Self {
        Self { dice: Dice::new(seed), held: Vec::new() }
    }

    /// Sends a datagram on its way: appends what arrives now to `out`. Gives whether it was lost.
    pub(super) fn pass(&mut self, faults: &[Fault], datagram: T, out: &mut Vec<T>) -> bool {
        let (mut loss, mut reorder) = (0, 0);
        for fault in faults {
            match fault {
                Fault::Loss(percent) => loss = *percent,
                Fault::Reorder(percent) => reorder = *percent,
                _ => {}
            }
        }
        if self.dice.percent(loss) {
            return true;
        }
        if self.dice.percent(reorder) {
            let later = 1 + self.dice.below(3) as u32;
            self.held.push((later, datagram));
            return false;
        }
        out.push(datagram);
        for (left, _) in &mut self.held {
            *left -= 1;
        }
        out.extend(self.held.extract_if(.., |(left, _)| *left == 0).map(|(_, datagram)| datagram));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_loses_and_reorders_about_as_much_as_asked() {
        let (mut network, mut out, mut lost) = (Network::new(7), Vec::new(), 0);
        for n in 0..10_000 {
            lost += u32::from(network.pass(&[Fault::Loss(5), Fault::Reorder(10)], n, &mut out));
        }
        assert!((400..600).contains(&lost), "{lost}");
        let late = out.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!((700..1100).contains(&late), "{late}");
        assert!(out.len() + lost as usize + 3 >= 10_000);
        let early = out.iter().enumerate().all(|(at, n)| (at + lost as usize + 3) >= *n as usize);
        assert!(early, "nothing is overtaken by more than three");
    }

    #[test]
    fn without_faults_everything_arrives_in_order() {
        let (mut network, mut out) = (Network::new(7), Vec::new());
        for n in 0..100 {
            assert!(!network.pass(&[], n, &mut out));
        }
        assert!(out.is_sorted() && out.len() == 100);
    }
}
