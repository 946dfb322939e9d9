package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/labels"
)

var (
	errNone     = errors.New("not found")
	errThere    = errors.New("already exists")
	errConflict = errors.New("the object has been modified; please apply your changes to the latest version and try again")
)

// An object as JSON has it. Those in the store are never changed: each change puts another in its place.
type object map[string]any

func (o object) part(name string) object {
	switch part := o[name].(type) {
	case map[string]any:
		return part
	case object:
		return part
	}
	return object{}
}

func (o object) meta() object            { return o.part("metadata") }
func (o object) text(name string) string { text, _ := o[name].(string); return text }

func (o object) labels() labels.Set {
	set := labels.Set{}
	for name := range o.meta().part("labels") {
		set[name] = o.meta().part("labels").text(name)
	}
	return set
}

func (o object) copy() object {
	text, _ := json.Marshal(o)
	var again object
	json.Unmarshal(text, &again)
	return again
}

type event struct {
	kind string
	of   object
}

type watcher struct {
	chosen selection
	events chan event
}

type store struct {
	mutex    sync.Mutex
	version  int
	objects  map[string]object
	watchers map[*watcher]bool
}

func newStore() *store {
	return &store{objects: map[string]object{}, watchers: map[*watcher]bool{}}
}

// All below: with the mutex held.

func (s *store) tell(kind string, p place, o object) {
	for w := range s.watchers {
		if w.chosen.place.collection() == p.collection() && w.chosen.has(o) {
			select {
			case w.events <- event{kind, o}:
			default: // It reads no more; it comes again and lists.
				close(w.events)
				delete(s.watchers, w)
			}
		}
	}
}

func (s *store) put(kind string, p place, o object) object {
	s.version++
	o["apiVersion"], o["kind"] = p.version, p.kind
	m := o.meta()
	m["resourceVersion"] = strconv.Itoa(s.version)
	o["metadata"] = m
	if p.kind == "Secret" {
		data := o.part("data")
		for name := range o.part("stringData") {
			data[name] = base64.StdEncoding.EncodeToString([]byte(o.part("stringData").text(name)))
		}
		o["data"] = data
		delete(o, "stringData")
	}
	finalizers, _ := m["finalizers"].([]any)
	if m["deletionTimestamp"] != nil && len(finalizers) == 0 {
		delete(s.objects, p.key())
		kind = "DELETED"
	} else {
		s.objects[p.key()] = o
	}
	s.tell(kind, p, o)
	return o
}

// Over its old self, as far as the request is about it.
func (s *store) replace(p place, o, old object) (object, error) {
	if version := o.meta().text("resourceVersion"); version != "" && version != old.meta().text("resourceVersion") {
		return nil, errConflict
	}
	if p.part == "status" {
		status := o["status"]
		o = old.copy()
		o["status"] = status
	} else if o["status"] == nil && old["status"] != nil {
		o["status"] = old["status"]
	}
	for _, name := range []string{"uid", "creationTimestamp", "deletionTimestamp", "namespace", "name"} {
		if value, ok := old.meta()[name]; ok {
			o.meta()[name] = value
		}
	}
	return s.put("MODIFIED", p, o), nil
}

func (s *store) end(p place, old object) object {
	o := old.copy()
	if o.meta()["deletionTimestamp"] == nil {
		o.meta()["deletionTimestamp"] = time.Now().UTC().Format(time.RFC3339)
	}
	return s.put("MODIFIED", p, o)
}

// The calls.

func (s *store) list(chosen selection) ([]object, string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	items := []object{}
	for _, o := range s.objects {
		if chosen.place.version == o.text("apiVersion") && chosen.place.kind == o.text("kind") && chosen.has(o) {
			items = append(items, o)
		}
	}
	return items, strconv.Itoa(s.version)
}

func (s *store) get(p place) (object, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if o, ok := s.objects[p.key()]; ok {
		return o, nil
	}
	return nil, errNone
}

func (s *store) create(p place, o object) (object, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	m := o.meta()
	if m.text("name") == "" {
		m["name"] = fmt.Sprintf("%s%05d", m.text("generateName"), s.version)
	}
	p.name = m.text("name")
	if p.namespace != "" {
		m["namespace"] = p.namespace
	}
	if s.objects[p.key()] != nil {
		return nil, errThere
	}
	m["uid"] = fmt.Sprintf("00000000-0000-4000-8000-%012d", s.version+1)
	m["creationTimestamp"] = time.Now().UTC().Format(time.RFC3339)
	o["metadata"] = m
	return s.put("ADDED", p, o), nil
}

func (s *store) update(p place, o object) (object, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if old, ok := s.objects[p.key()]; ok {
		return s.replace(p, o, old)
	}
	return nil, errNone
}

// As RFC 7396 says; lists are replaced as a whole.
func merge(into, with object) {
	for name, value := range with {
		part, ok := value.(map[string]any)
		switch {
		case value == nil:
			delete(into, name)
		case ok:
			inner := into.part(name)
			merge(inner, part)
			into[name] = map[string]any(inner)
		default:
			into[name] = value
		}
	}
}

func (s *store) patch(p place, with object, mayCreate bool) (object, error) {
	if _, err := s.get(p); err != nil && mayCreate {
		return s.create(p, with)
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	old, ok := s.objects[p.key()]
	if !ok {
		return nil, errNone
	}
	o := old.copy()
	merge(o, with)
	return s.replace(p, o, old)
}

func (s *store) remove(p place) (object, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if old, ok := s.objects[p.key()]; ok {
		return s.end(p, old), nil
	}
	return nil, errNone
}

func (s *store) removeAll(chosen selection) {
	items, _ := s.list(chosen)
	for _, o := range items {
		p := chosen.place
		p.namespace, p.name = o.meta().text("namespace"), o.meta().text("name")
		s.remove(p)
	}
}

// What is there first, then each change, until the caller goes.
func (s *store) watch(w http.ResponseWriter, r *http.Request, chosen selection) {
	since, _ := strconv.Atoi(r.URL.Query().Get("resourceVersion"))
	initial := r.URL.Query().Get("sendInitialEvents") == "true"
	me := &watcher{chosen, make(chan event, 1000)}
	s.mutex.Lock()
	for _, o := range s.objects {
		version, _ := strconv.Atoi(o.meta().text("resourceVersion"))
		if (initial || version > since) && chosen.place.version == o.text("apiVersion") && chosen.place.kind == o.text("kind") &&
			chosen.has(o) {
			me.events <- event{"ADDED", o}
		}
	}
	if initial {
		me.events <- event{"BOOKMARK", object{"apiVersion": chosen.place.version, "kind": chosen.place.kind, "metadata": map[string]any{
			"resourceVersion": strconv.Itoa(s.version), "annotations": map[string]any{"k8s.io/initial-events-end": "true"}}}}
	}
	s.watchers[me] = true
	s.mutex.Unlock()

	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(200)
	flusher := w.(http.Flusher)
	flusher.Flush()
	for {
		select {
		case e, ok := <-me.events:
			if !ok {
				return
			}
			json.NewEncoder(w).Encode(map[string]any{"type": e.kind, "object": e.of})
			flusher.Flush()
		case <-r.Context().Done():
			s.mutex.Lock()
			delete(s.watchers, me)
			s.mutex.Unlock()
			return
		}
	}
}
