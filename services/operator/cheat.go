package operator

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// recipes are short answers to "how do I"; each line can be pasted.
var recipes = map[string]string{
	"start": `# everything in one process, nothing to install
go run ./services/allinone/cmd/allinone
# in another terminal, from the same folder: quotectl finds ./data/client.env by itself
quotectl quotes list`,
	"declare": `# streams, buckets and consumers; before the first start and after an upgrade
quotectl declare
# on a cluster
quotectl declare --replicas 3
# change nothing, say what differs (exit code 3 when something does)
quotectl declare --check`,
	"simulate": `# what can be played, and the end that each must have
quotectl simulate list
# pay a published quote by card; fails with exit code 3 if the end is not as it must be
quotectl simulate paid --quote q_1042
# out of order, every event three times, in the newer API's shape
quotectl simulate refund --quote q_1042 --shuffle --duplicate 2 --api-version basil
# the very same events once more: nothing may change
quotectl simulate paid --quote q_1042 --seed 7
quotectl simulate paid --quote q_1042 --seed 7`,
	"explain": `# the whole story of a quote
quotectl explain q_1042
# what became of one event, of one message, of a payment
quotectl explain evt_1QaB
quotectl explain STRIPE:88120
quotectl explain pi_3QaB --account acct_1Seller
# why is it not paid, why did nobody get a mail: the first missing link
quotectl explain q_1042 --why-not-paid
quotectl explain q_1042 --why-no-email
# what did we know at five past ten, and what was true
quotectl status q_1042 --as-known-at "2026-11-20 10:05"
quotectl status q_1042 --as-of "2026-11-20 10:05"
# where did the time go
quotectl explain q_1042 -o jsonl | jq -r '[.after_ms, .kind, .summary] | @tsv'`,
	"events": `# what somebody should look at: dead, refused or parked
quotectl events list --outcome failed --since 24h
# what bears on one quote; what came in by reconcile; a stretch of the log
quotectl events list --quote q_1042
quotectl events list --source reconcile -o wide
quotectl events list --seq 88000..88200 --oldest-first
# one event: masked, its headers, its very bytes
quotectl events get evt_1QaB
quotectl events get STRIPE:88120 --headers
quotectl events get evt_1QaB --raw > evt_1QaB.json
# live, from ten minutes ago on
quotectl events tail --since 10m`,
	"dead": `# what could not be worked on, by cause; one letter with its history and message
quotectl dead list
quotectl dead show DEAD:12
# plan first; --yes does it. A selection means all that fit, not what a list showed
quotectl dead retry --cause c_1a2b3c4d --reason "fixed in 1.4.1"
quotectl dead retry --cause c_1a2b3c4d --reason "fixed in 1.4.1" --yes
# give up, and try again after all
quotectl dead discard --cause c_1a2b3c4d --reason "plugin retired" --yes
quotectl dead retry --cause c_1a2b3c4d --state discarded --reason "it was ours" --yes`,
	"parked": `# what waits, for what, since when
quotectl parked list --older-than 24h
# fold one again now; end the wait of another
quotectl parked release evt_1QaB --reason "ticket 4711"
quotectl parked release evt_1QaC --give-up --reason "not ours"`,
	"mail": `# what needs a person: will not be sent, or nobody knows
quotectl mail list --state rejected,parked,ambiguous
quotectl mail show q_1042
quotectl mail preview q_1042
# the same command twice is one mail; --again sends one more
quotectl mail resend q_1042 --reason "mailbox was full"`,
	"subscribers": `# how far each is, with exit code 3 when one is behind
quotectl subscribers list
quotectl subscribers lag --max-lag 1000 --max-age 5m
# who has not processed the quote.paid of a quote
quotectl subscribers missing q_1042
# deliver a day again to one subscriber, and to no other
quotectl subscribers replay --consumer crm --from 24h --reason "they lost a day" --yes`,
	"replay": `# what would folding events again change? nothing is changed by the question
quotectl replay plan --outcome failed --since 24h --name incident-4711
quotectl replay plan --quote q_1042 --type 'charge.*'
quotectl replay show incident-4711 -o jsonl | jq -r 'select(.facts) | .quote'
# carry it out; exit code 4 beyond the budgets, or when things have moved
quotectl replay run incident-4711 --reason "ticket 4711"
quotectl replay run incident-4711 --reason "ticket 4711" --max-quotes 500 --max-mails 12 --rate 1000
# stop it, look at it, go on
quotectl replay cancel incident-4711 --reason "load"
quotectl replay status incident-4711
quotectl replay run incident-4711 --reason "ticket 4711"
# the mail about a paid quote once more: the only way in which a replay mails twice
quotectl replay plan --quote q_1042 --resend-email
# one event, at once
quotectl replay evt_1QaB --reason "ticket 4711"
quotectl replay STRIPE:88120 --reason "drill"`,
	"rebuild": `# does Redis hold what the log says? exit code 3 and a list where not
quotectl rebuild --verify
quotectl rebuild --verify -o json | jq -r '.differences[].quote'
# make Redis anew from the log, without a pause in service; then prove it
quotectl rebuild --switch --reason "ticket 4711"
quotectl rebuild --status
# has every message of the log an outcome? exit code 3 and the sequences where not
quotectl check conservation`,
	"doctor": `# how is everything set up? exit code 3 where a line says fail
quotectl doctor
quotectl doctor -o json | jq -r '.[] | select(.status != "ok")'`,
	"check": `# for cron and monitoring: one line, exit code 3 when something is wrong
quotectl check lag --warn 2m --critical 15m
quotectl check gap
quotectl check silence
quotectl check conservation`,
	"reconcile": `# what never came, is not Stripe's, or differs (exit code 3); 30 days are Stripe's list
quotectl reconcile report --since 30d
# only say what would be entered; then enter it
quotectl reconcile repair --since 30d
quotectl reconcile repair --since 30d --yes --reason "ingress was down, ticket 4711"
# what was entered, by us or by the services themselves
quotectl events list --source reconcile --since 30d
# beyond Stripe's list: by our own checkouts
quotectl reconcile report --since 120d`,
	"journal": `# what operators did, the newest first
quotectl journal list --since 7d
quotectl journal list --action 'dead_*' --who 'ada@*'
# exit code 3 when an entry was changed, removed or slipped in
quotectl journal verify
# note the head elsewhere, and ask later whether it is still the same
quotectl journal verify -o json | jq -r '"\(.head.n):\(.head.hash)"'
quotectl journal verify --noted 412:` + exampleHash,
	"sellers": `# who is paid on which Stripe account, and may he
quotectl sellers show main
quotectl sellers history main
# what he paid us for; every change asks for a reason and is journaled
quotectl sellers set-plan main starter --reason "invoice 4711"
quotectl sellers set-seat main sue paid --reason "invoice 4711"
# who was refused to connect an account
quotectl journal list --action connect_refused`,
	"scripts": `# exit codes: 0 ok, 1 error, 2 usage, 3 difference, 4 budget, 5 not found
quotectl quotes card q_1042 -o json | jq -r .status
# every paid quote of a deal
quotectl quotes list --deal d_17 --status paid -o jsonl | jq -r .id`,
}

// recipe is a topic with -o json.
type recipe struct {
	Topic string `json:"topic"`
	Text  string `json:"text"`
}

func (a *app) cheatCommand() *cobra.Command {
	topics := slices.Sorted(maps.Keys(recipes))
	return &cobra.Command{
		Use:       "cheat [topic]",
		Short:     "Show short recipes",
		Long:      "Shows recipes that can be pasted. Topics: " + strings.Join(topics, ", ") + ".\n\n" + exitCodeHelp,
		Example:   "  quotectl cheat\n  quotectl cheat simulate",
		ValidArgs: topics,
		Args:      cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usage(cmd, "%q is one argument too many", args[1])
			}
			if len(args) == 1 {
				text, ok := recipes[args[0]]
				if !ok {
					return usage(cmd, "there is no topic %q; topics are %s", args[0], strings.Join(topics, ", "))
				}
				return a.show(view{document: recipe{args[0], text}, after: []string{text}})
			}
			if a.format == formatJSON || a.format == formatJSONL {
				v := view{items: []any{}}
				for _, topic := range topics {
					v.items = append(v.items, recipe{topic, recipes[topic]})
				}
				v.document = v.items
				return a.show(v)
			}
			for _, topic := range topics {
				if _, err := fmt.Fprintf(a.out, "## %s\n%s\n\n", topic, recipes[topic]); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
