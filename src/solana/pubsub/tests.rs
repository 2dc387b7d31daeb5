use super::*;
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(10);

fn account(byte: u8) -> TokenAccount {
    TokenAccount([byte; 32].into())
}

/// A session whose questions were all sent, and what it told of these messages.
fn told(accounts: &[TokenAccount], messages: &[Said]) -> Result<Vec<Event>, ListenError> {
    told_by(Proof::Slot, accounts, messages).map(|(_, events)| events)
}

fn told_by(
    proof: Proof,
    accounts: &[TokenAccount],
    messages: &[Said],
) -> Result<(Session, Vec<Event>), ListenError> {
    let (mut session, mut events) = (Session::new(accounts, PATIENCE, proof), Vec::new());
    for message in messages {
        while session.next_question().is_some() {}
        session.heard(message.clone(), &mut |event| events.push(event))?;
    }
    Ok((session, events))
}

fn stands(id: u64) -> Said {
    let subscription = Ok(id.to_string());
    Said::Answer { id, subscription }
}

fn refuses(id: u64) -> Said {
    let subscription = Err(-32601);
    Said::Answer { id, subscription }
}

fn notified(signature: Signature) -> Said {
    let value = json!({ "signature": signature.to_string(), "err": null, "logs": null });
    let params = json!({ "subscription": 2, "result": { "value": value } });
    said(&json!({ "method": "logsNotification", "params": params }).to_string())
}

fn open(slot: Option<Slot>, refused: &[u8]) -> Event {
    let refused = refused.iter().copied().map(account).collect();
    Event::Subscribed(Subscribed { slot, refused })
}

#[test]
fn it_is_subscribed_when_a_slot_comes_after_all_answers() {
    let (slot, slots) = (Said::Slot, Event::Slot);
    let accounts = [account(1), account(2)];
    let messages = [slot(4), stands(1), slot(5), stands(2), stands(3)];
    let told_so_far = told(&accounts, &messages).unwrap();
    assert_eq!(told_so_far, [slots(4), slots(5)], "not proved yet");
    let all = [&messages[..], &[slot(6), slot(7)]].concat();
    let expected = [slots(4), slots(5), slots(6), open(Some(6), &[]), slots(7)];
    assert_eq!(told(&accounts, &all).unwrap(), expected);
}

#[test]
fn without_slots_it_is_subscribed_by_its_answers() {
    let told = |messages: &[Said]| told(&[account(1), account(2)], messages);
    let messages = [refuses(1), stands(2), refuses(3)];
    assert_eq!(told(&messages).unwrap(), [open(None, &[2]), Event::Alive]);
    let refused = told(&[stands(1), refuses(2), refuses(3)]).unwrap_err();
    assert!(matches!(refused, ListenError::Refused { .. }), "{refused}");
}

#[test]
fn slots_that_are_promised_and_do_not_come_are_waited_for_once() {
    let accounts = [account(1)];
    for answered in [&[stands(1), stands(2)][..], &[stands(2)]] {
        let (session, events) = told_by(Proof::Slot, &accounts, answered).unwrap();
        assert_eq!(events, []);
        let silence = session.silence();
        assert!(matches!(silence, ListenError::Silent(_)), "{silence}");
        let (session, events) = told_by(Proof::Answers, &accounts, answered).unwrap();
        assert_eq!(events, [open(None, &[]), Event::Alive]);
        let silence = session.silence();
        assert!(matches!(silence, ListenError::Unanswered(_)), "{silence}");
    }
    let late = [stands(2), stands(1), Said::Slot(9), Said::Other];
    let (session, events) = told_by(Proof::Answers, &accounts, &late).unwrap();
    let expected = [open(None, &[]), Event::Alive, Event::Alive, Event::Slot(9)];
    assert_eq!(events, expected, "from now on slots must come");
    assert!(matches!(session.silence(), ListenError::Silent(_)));
    let (session, _) = told_by(Proof::Slot, &accounts, &[stands(1)]).unwrap();
    assert!(matches!(session.silence(), ListenError::Slow(_)));
}

#[test]
fn null_logs_are_a_hint_and_a_signature_of_all_ones_is_none() {
    let signature = Signature::from([7; 64]);
    let hint = |byte| Hint {
        signature,
        token_account: account(byte),
        memos: Vec::new(),
    };
    let ones = Signature::default();
    assert!(ones.to_string().bytes().all(|byte| byte == b'1'));
    let messages = [refuses(1), stands(2), notified(ones), notified(signature)];
    let told = told(&[account(1)], &messages).unwrap();
    let expected = [
        open(None, &[]),
        Event::Alive,
        Event::Alive,
        Event::Hint(hint(1)),
        Event::Alive,
    ];
    assert_eq!(told, expected);
}

#[test]
fn only_so_many_questions_wait_for_an_answer_at_once() {
    let accounts: Vec<_> = (0..40).map(account).collect();
    let mut session = Session::new(&accounts, PATIENCE, Proof::Slot);
    let mut asked = 0;
    while asked < accounts.len() + 1 {
        let mut sent = 0;
        while session.next_question().is_some() {
            sent += 1;
        }
        assert!((1..=ASKED_AT_ONCE).contains(&sent), "{sent} after {asked}");
        asked += sent;
        let waiting: Vec<_> = session.waiting.keys().copied().collect();
        assert!(waiting.len() <= ASKED_AT_ONCE, "{waiting:?}");
        for id in waiting.into_iter().take(3) {
            session.heard(stands(id), &mut |_| ()).unwrap();
        }
    }
    assert_eq!(session.phase, Phase::Asking);
}
