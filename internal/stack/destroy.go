package stack

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// protected are the resources of the module that its variable "protect" keeps from being deleted. A
// test holds them to the module.
var protected = []string{
	"aws_backup_vault.main",
	"aws_cognito_user_pool.clients",
	"aws_dynamodb_table.events",
	"aws_dynamodb_table.idempotency",
	"aws_s3_bucket.dead_letters",
	"aws_secretsmanager_secret.sources",
}

// zipVariables are the variables of the module that the command sets itself to what it has built.
var zipVariables = func() []string {
	names := []string{"functions_zip"}
	for _, role := range Roles {
		names = append(names, role+"_zip")
	}
	return names
}()

// Destroy takes the protection away and then everything. What can't be unprotected is told, and
// does not keep the rest: a stack that was deployed in part has to go too.
func (s *Stack) Destroy(ctx context.Context) error {
	if err := s.unprotect(ctx); err != nil {
		if ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(s.Talk, "the protection could not be taken away everywhere (%v); going on to destroy\n", err)
	}
	return s.terraform(ctx, nil, append([]string{"destroy"}, s.unprotected()...)...)
}

// unprotected are the arguments of a run that protects nothing. Terraform checks the paths of the
// zips, and nothing that these runs do reads them: where they were cleaned away, any file that is
// surely there will do.
func (s *Stack) unprotected() []string {
	args := []string{"-input=false", "-auto-approve", s.varFile(), "-var=protect=false"}
	for _, name := range zipVariables {
		args = append(args, "-var="+name+"=main.tf")
	}
	return args
}

// unprotect lets the protected resources that exist be deleted. It names them as targets, because
// an apply of all would run into whatever broke the deployment, and make first what is missing.
func (s *Stack) unprotect(ctx context.Context) error {
	resources, err := s.resources(ctx)
	if err != nil {
		return err
	}
	args := append([]string{"apply"}, s.unprotected()...)
	found := false
	for _, resource := range resources {
		if !slices.Contains(protected, resource.Type+"."+resource.Name) {
			continue
		}
		// One that was made in part is tainted: the apply would replace it, which its protection forbids.
		if resource.Tainted {
			if err := s.terraform(ctx, nil, "untaint", resource.Address); err != nil {
				return err
			}
		}
		args, found = append(args, "-target="+resource.Address), true
	}
	if !found {
		return nil
	}
	return s.terraform(ctx, nil, args...)
}

// resource is one resource in the state.
type resource struct {
	Address string `json:"address"`
	Type    string `json:"type"`
	Name    string `json:"name"`
	Tainted bool   `json:"tainted"`
}

// resources lists what the state holds. "terraform state list" would fail where there is none, and
// knows nothing of taints.
func (s *Stack) resources(ctx context.Context) ([]resource, error) {
	var text bytes.Buffer
	if err := s.terraform(ctx, &text, "show", "-json"); err != nil {
		return nil, err
	}
	var state struct {
		Values struct {
			Root struct {
				Resources []resource `json:"resources"`
			} `json:"root_module"`
		} `json:"values"`
	}
	if err := json.Unmarshal(text.Bytes(), &state); err != nil {
		return nil, fmt.Errorf("state of %s: %w", s.Name, err)
	}
	return state.Values.Root.Resources, nil
}
