package sandbox

import (
	"slices"
	"strings"
	"time"
)

// event is something that happened, with the object as it was then.
type event struct {
	world      *world
	id, typ    string
	created    int64
	snapshot   object
	previous   object
	origin     origin
	deliveries []*delivery
}

// emit tells of o as it is now.
func (w *world) emit(typ string, o object) { w.emitChanged(typ, o, nil) }

// emitChanged is emit with the earlier values of what changed.
func (w *world) emitChanged(typ string, o, previous object) {
	w.record(typ, o.clone(), previous)
	if w.sim.knobs.SecondEventID && w.sim.knobs.concern(typ) {
		w.record(typ, o.clone(), previous)
	}
}

func (w *world) record(typ string, snapshot, previous object) {
	s := w.sim
	e := &event{world: w, id: s.id("evt_1", 23), typ: typ, created: w.now(), snapshot: snapshot, previous: previous, origin: s.request}
	w.events = append(w.events, e)
	for _, p := range s.endpoints {
		if p.wants(e) {
			s.plan(e, p)
		}
	}
}

// pending counts the deliveries that have not succeeded and still may.
func (e *event) pending() int64 {
	n := int64(0)
	for _, d := range e.deliveries {
		if d.state == statePending || d.state == stateHeld {
			n++
		}
	}
	return n
}

// delivered reports whether every endpoint that was to get the event has answered 2xx.
func (e *event) delivered() bool {
	return !slices.ContainsFunc(e.deliveries, func(d *delivery) bool { return d.state != stateDelivered && !d.extra })
}

// render is the event in an API version.
func (e *event) render(version string) object {
	data := object{"object": render(e.snapshot, version)}
	if len(e.previous) > 0 {
		data["previous_attributes"] = e.previous
	}
	o := object{
		"id": e.id, "object": "event", "api_version": version, "created": e.created, "data": data, "livemode": e.world.live,
		"pending_webhooks": e.pending(), "request": object{"id": nilIfEmpty(e.origin.id), "idempotency_key": nilIfEmpty(e.origin.key)}, "type": e.typ,
	}
	if e.world.account.id != PlatformAccount {
		o["account"] = e.world.account.id
	}
	return o
}

// thin is the event as an endpoint of the newer kind gets it: without the object.
func (e *event) thin() object {
	return object{
		"id": e.id, "object": "v2.core.event", "type": "v1." + e.typ, "livemode": e.world.live, "reason": nil,
		"created":        time.Unix(e.created, 0).UTC().Format("2006-01-02T15:04:05.000Z"),
		"related_object": object{"id": e.snapshot.str("id"), "type": e.snapshot.str("object"), "url": "/v1/" + e.snapshot.str("object") + "s/" + e.snapshot.str("id")},
	}
}

// eventsKept is how far the list of events goes back.
const eventsKept = 30 * 24 * time.Hour

func eventRoutes() []route {
	return []route{
		{"GET /v1/events/{id}", parseSpec(""), func(c *call) (any, error) {
			for _, e := range c.events {
				if e.id == c.id {
					return verbatim(e), nil
				}
			}
			return nil, missing("event", c.id, "id")
		}},
		{"GET /v1/events", parseSpec(pageSpec + "type str\ntypes strs\ncreated range\ndelivery_success bool\n"), listEvents},
	}
}

// verbatim is the event in the version of its account, whatever the request's version is. An endpoint's own version has no
// effect on the list; events of newer types are in it all the same. The list is the account's own, so it does not name it.
func verbatim(e *event) object { return e.render(Version20231016).without("account") }

func listEvents(c *call) (any, error) {
	types := strsOf(c.p["types"])
	if c.p.has("type") && len(types) > 0 {
		return nil, refuse("", "types", "You may only specify one of these parameters: type, types.")
	}
	if len(types) > 20 {
		return nil, refuse("", "types", "You may only specify up to 20 event types.")
	}
	if c.p.has("type") {
		types = []string{c.p.str("type")}
	}
	oldest := c.now() - int64(eventsKept/time.Second)
	var found []object
	for _, e := range slices.Backward(c.events) {
		fits := len(types) == 0 || slices.ContainsFunc(types, func(pattern string) bool { return matches(pattern, e.typ) })
		if !fits || e.created < oldest || !within(c.p.obj("created"), e.created) {
			continue
		}
		if c.p.has("delivery_success") && c.p.bool("delivery_success") != e.delivered() {
			continue
		}
		found = append(found, verbatim(e))
	}
	return c.page(found, "/v1/events")
}

// matches reports whether a type is meant by a pattern: itself, or a prefix and *.
func matches(pattern, typ string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(typ, prefix)
	}
	return pattern == typ
}
