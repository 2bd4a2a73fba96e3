// Package fakesecrets is an in-memory stand-in for AWS Secrets Manager, for tests: the real SDK talks
// to it.
//
// It has secrets with values of text, each with versions of which the last is the current one, and
// refuses one that has no value yet as the service does. Rotation, binary values, other stages,
// policies and deletion it does not know, and refuses.
package fakesecrets

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"pillarbox/test/standin/awsjson"
)

const (
	arnPrefix = "arn:aws:secretsmanager:us-east-1:000000000000:secret:"
	current   = "AWSCURRENT"

	// maxValueBytes is Secrets Manager's own.
	maxValueBytes = 65_536
)

var (
	errNotFound = &awsjson.Error{Code: "ResourceNotFoundException"}
	errExists   = &awsjson.Error{Code: "ResourceExistsException"}
	errInvalid  = &awsjson.Error{Code: "InvalidParameterException"}

	// ErrThrottled is what Secrets Manager answers to too many calls.
	ErrThrottled = &awsjson.Error{Code: "ThrottlingException", Message: "Rate exceeded"}
)

// Server is the stand-in. It is an http.Handler. The faults are those of awsjson.Server.
type Server struct {
	*awsjson.Server

	mu      sync.Mutex
	secrets map[string][]string // values by name, the oldest first; guarded by mu
}

// New returns a stand-in without secrets.
func New() *Server {
	s := &Server{secrets: map[string][]string{}}
	s.Server = awsjson.NewServer(awsjson.Service{
		Target: "secretsmanager", Version: "1.1", Namespace: "com.amazonaws.secretsmanager", Throttled: ErrThrottled,
		Operations: map[string]awsjson.Operation{
			"CreateSecret":   awsjson.Operate(s.create),
			"PutSecretValue": awsjson.Operate(s.put),
			"GetSecretValue": awsjson.Operate(s.get),
		},
	})
	return s
}

func (s *Server) create(_ context.Context, _ awsjson.Call, in *struct {
	Name, Description, KmsKeyID, ClientRequestToken string
	SecretString                                    *string
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.secrets[in.Name]; there {
		return nil, errExists.With("The operation failed because the secret %s already exists.", in.Name)
	}
	if in.Name == "" {
		return nil, errInvalid.With("A secret needs a name.")
	}
	s.secrets[in.Name] = nil
	if in.SecretString != nil {
		return s.putLocked(in.Name, *in.SecretString)
	}
	return map[string]any{"ARN": arnOf(in.Name), "Name": in.Name}, nil
}

func (s *Server) put(_ context.Context, _ awsjson.Call,
	in *struct{ SecretID, SecretString, ClientRequestToken string }) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.putLocked(in.SecretID, in.SecretString)
}

func (s *Server) putLocked(id, value string) (any, error) {
	name, err := s.nameLocked(id)
	switch {
	case err != nil:
		return nil, err
	case value == "" || len(value) > maxValueBytes:
		return nil, errInvalid.With("You must provide a SecretString of 1 to %d bytes.", maxValueBytes)
	}
	s.secrets[name] = append(s.secrets[name], value)
	return map[string]any{"ARN": arnOf(name), "Name": name, "VersionId": s.versionLocked(name), "VersionStages": []string{current}}, nil
}

func (s *Server) get(_ context.Context, _ awsjson.Call,
	in *struct{ SecretID, VersionID, VersionStage string }) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name, err := s.nameLocked(in.SecretID)
	switch {
	case err != nil:
		return nil, err
	case in.VersionID != "" || in.VersionStage != "" && in.VersionStage != current:
		return nil, errInvalid.With("the stand-in hands out the current version alone")
	case len(s.secrets[name]) == 0:
		return nil, errNotFound.With("Secrets Manager can't find the specified secret value for staging label: %s", current)
	}
	values := s.secrets[name]
	return map[string]any{"ARN": arnOf(name), "Name": name, "VersionId": s.versionLocked(name),
		"SecretString": values[len(values)-1], "VersionStages": []string{current}}, nil
}

// nameLocked finds a secret by its name or ARN.
func (s *Server) nameLocked(id string) (string, error) {
	name := strings.TrimSuffix(strings.TrimPrefix(id, arnPrefix), "-AbCdEf")
	if _, there := s.secrets[name]; !there {
		return "", errNotFound.With("Secrets Manager can't find the specified secret.")
	}
	return name, nil
}

func (s *Server) versionLocked(name string) string {
	return fmt.Sprintf("00000000-0000-4000-8000-%012d", len(s.secrets[name]))
}

// arnOf ends in six characters, as those of the service do.
func arnOf(name string) string { return arnPrefix + name + "-AbCdEf" }
