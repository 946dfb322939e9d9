// As much of a Kubernetes API server as Tailscale's operator asks for. It is not Kubernetes: it keeps objects, tells who
// watches of each change, and heeds labels, finalizers and versions; nothing is checked, nothing defaulted, and no
// controller, scheduler or pod runs. Whoever tests with it plays these.
//
//	cluster ADDRESS:PORT
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
)

const bodyMax = 4 << 20

// What there is, by group and version; each kind's plural is Kubernetes' guess at it.
var kinds = map[string][]string{
	"v1":                              {"Service", "Secret", "Pod", "ConfigMap", "ServiceAccount", "Node", "Namespace", "Event"},
	"admissionregistration.k8s.io/v1": {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"},
	"apiextensions.k8s.io/v1":         {"CustomResourceDefinition"},
	"apps/v1":                         {"StatefulSet", "Deployment"},
	"discovery.k8s.io/v1":             {"EndpointSlice"},
	"networking.k8s.io/v1":            {"Ingress", "IngressClass"},
	"rbac.authorization.k8s.io/v1":    {"Role", "RoleBinding"},
	"tailscale.com/v1alpha1": {"Connector", "ProxyClass", "DNSConfig", "Recorder", "ProxyGroup", "Tailnet", "ProxyGroupPolicy",
		"PeerRelay"},
}

var ofCluster = map[string]bool{"Node": true, "Namespace": true, "CustomResourceDefinition": true, "IngressClass": true,
	"ValidatingAdmissionPolicy": true, "ValidatingAdmissionPolicyBinding": true, "Connector": true, "ProxyClass": true,
	"DNSConfig": true, "Recorder": true, "ProxyGroup": true, "Tailnet": true, "PeerRelay": true}

func plural(kind string) string {
	guess, _ := meta.UnsafeGuessKindToResource(schema.GroupVersionKind{Kind: kind})
	return guess.Resource
}

// A request's place: /api/v1/namespaces/NAMESPACE/RESOURCE/NAME/PART or /apis/GROUP/VERSION/...
type place struct {
	version, kind, resource, namespace, name, part string
}

func (p place) collection() string { return p.version + "/" + p.resource }
func (p place) key() string        { return p.collection() + "/" + p.namespace + "/" + p.name }

func parsePlace(path string) (place, bool) {
	words := strings.Split(strings.Trim(path, "/"), "/")
	var p place
	switch {
	case len(words) >= 2 && words[0] == "api":
		p.version, words = words[1], words[2:]
	case len(words) >= 3 && words[0] == "apis":
		p.version, words = words[1]+"/"+words[2], words[3:]
	default:
		return p, false
	}
	if len(words) >= 3 && words[0] == "namespaces" {
		p.namespace, words = words[1], words[2:]
	}
	words = append(words, "", "", "")
	p.resource, p.name, p.part = words[0], words[1], words[2]
	for _, kind := range kinds[p.version] {
		if plural(kind) == p.resource {
			p.kind = kind
		}
	}
	return p, p.kind != ""
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}

func refuse(w http.ResponseWriter, status int, reason metav1.StatusReason, why string) {
	answer(w, status, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Failure",
		Code: int32(status), Reason: reason, Message: why})
}

func discover(w http.ResponseWriter, path string) bool {
	switch path = strings.Trim(path, "/"); {
	case path == "version":
		answer(w, 200, map[string]string{"major": "1", "minor": "34", "gitVersion": "v1.34.0"})
	case path == "api":
		answer(w, 200, metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions"}, Versions: []string{"v1"}})
	case path == "apis":
		list := metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}}
		for version := range kinds {
			if group, number, ok := strings.Cut(version, "/"); ok {
				v := metav1.GroupVersionForDiscovery{GroupVersion: version, Version: number}
				list.Groups = append(list.Groups, metav1.APIGroup{Name: group, PreferredVersion: v,
					Versions: []metav1.GroupVersionForDiscovery{v}})
			}
		}
		answer(w, 200, list)
	default:
		version := strings.TrimPrefix(strings.TrimPrefix(path, "apis/"), "api/")
		names, ok := kinds[version]
		if !ok {
			return false
		}
		list := metav1.APIResourceList{TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: version}
		verbs := metav1.Verbs{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}
		for _, kind := range names {
			list.APIResources = append(list.APIResources, metav1.APIResource{Name: plural(kind), SingularName: strings.ToLower(kind),
				Namespaced: !ofCluster[kind], Kind: kind, Verbs: verbs})
		}
		answer(w, 200, list)
	}
	return true
}

// The body as JSON; built-in kinds come as protocol buffers.
func readObject(r *http.Request) (object, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, bodyMax))
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/vnd.kubernetes.protobuf") {
		decoded, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, nil)
		if err != nil {
			return nil, err
		}
		if body, err = json.Marshal(decoded); err != nil {
			return nil, err
		}
	}
	o := object{}
	return o, json.Unmarshal(body, &o)
}

// Which objects of a collection a request is about.
type selection struct {
	place  place
	labels labels.Selector
	fields fields.Selector
}

func (s selection) has(o object) bool {
	m := o.meta()
	return (s.place.namespace == "" || m.text("namespace") == s.place.namespace) && s.labels.Matches(o.labels()) &&
		s.fields.Matches(fields.Set{"metadata.name": m.text("name"), "metadata.namespace": m.text("namespace")})
}

func serve(s *store, w http.ResponseWriter, r *http.Request) {
	p, ok := parsePlace(r.URL.Path)
	if !ok {
		if r.Method != "GET" || !discover(w, r.URL.Path) {
			refuse(w, 404, metav1.StatusReasonNotFound, "there is no "+r.URL.Path)
		}
		return
	}
	query := r.URL.Query()
	chosen := selection{place: p}
	var err, fieldsErr error
	chosen.labels, err = labels.Parse(query.Get("labelSelector"))
	chosen.fields, fieldsErr = fields.ParseSelector(query.Get("fieldSelector"))
	if err != nil || fieldsErr != nil {
		refuse(w, 400, metav1.StatusReasonBadRequest, fmt.Sprint(err, fieldsErr))
		return
	}
	var sent object
	if r.Method == "POST" || r.Method == "PUT" || r.Method == "PATCH" {
		if sent, err = readObject(r); err != nil {
			refuse(w, 400, metav1.StatusReasonBadRequest, err.Error())
			return
		}
	}
	switch {
	case r.Method == "GET" && query.Get("watch") != "" && query.Get("watch") != "false":
		s.watch(w, r, chosen)
	case r.Method == "GET" && p.name == "":
		items, version := s.list(chosen)
		answer(w, 200, map[string]any{"apiVersion": p.version, "kind": p.kind + "List", "items": items,
			"metadata": map[string]any{"resourceVersion": version}})
	case r.Method == "GET":
		reply(w, 200)(s.get(p))
	case r.Method == "POST":
		reply(w, 201)(s.create(p, sent))
	case r.Method == "PUT":
		reply(w, 200)(s.update(p, sent))
	case r.Method == "PATCH":
		reply(w, 200)(s.patch(p, sent, strings.HasPrefix(r.Header.Get("Content-Type"), "application/apply-patch")))
	case r.Method == "DELETE" && p.name == "":
		s.removeAll(chosen)
		answer(w, 200, metav1.Status{TypeMeta: metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}, Status: "Success"})
	case r.Method == "DELETE":
		reply(w, 200)(s.remove(p))
	default:
		refuse(w, 405, metav1.StatusReasonMethodNotAllowed, r.Method)
	}
}

func reply(w http.ResponseWriter, status int) func(object, error) {
	return func(o object, err error) {
		switch err {
		case nil:
			answer(w, status, o)
		case errNone:
			refuse(w, 404, metav1.StatusReasonNotFound, err.Error())
		case errThere:
			refuse(w, 409, metav1.StatusReasonAlreadyExists, err.Error())
		default:
			refuse(w, 409, metav1.StatusReasonConflict, err.Error())
		}
	}
}

func main() {
	s := newStore()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log.Println(r.Method, r.URL)
		serve(s, w, r)
	})
	log.Fatal(http.ListenAndServe(os.Args[1], handler))
}
