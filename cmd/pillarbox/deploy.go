package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"pillarbox/internal/stack"
)

// defaultStack is the name of a stack that has none of its own.
const defaultStack = "pillarbox"

// stackFlags are what deploy and destroy share.
type stackFlags struct {
	name   string
	region string
	source string
	yes    bool
	vars   []string

	sources      string // file
	sourcesGiven bool
}

func (f *stackFlags) add(command *cobra.Command) {
	set := command.Flags()
	set.StringVar(&f.name, "name", defaultStack,
		"name of the stack; two stacks of one account need two")
	set.StringVar(&f.region, "region", "", "AWS region (default that of the environment at the first deploy; it is kept from then on)")
	set.StringVar(&f.source, "source", ".", "checkout of pillarbox")
	set.BoolVar(&f.yes, "yes", false, "don't ask")
}

func (f *stackFlags) open(command *cobra.Command) (*stack.Stack, error) {
	opened, err := stack.Open(f.name, f.source, drawn(command.ErrOrStderr()))
	if err != nil {
		return nil, usageError{err}
	}
	return opened, nil
}

func newDeployCommand() *cobra.Command {
	flags := &stackFlags{}
	command := &cobra.Command{
		Use:   "deploy",
		Short: "Put pillarbox on AWS with Terraform: build the functions, plan, ask, apply",
		Long: `Look for credentials for AWS, build the functions, run "terraform init" and "plan" on deploy/terraform, show the plan, ask, and apply
exactly that plan. Each command is shown before it runs. Run it in a checkout of pillarbox, with Go,
Terraform or OpenTofu, and credentials for AWS (AWS_PROFILE, AWS_ACCESS_KEY_ID or what else the SDK
finds).

Choices are kept in deploy/terraform/stacks/NAME.tfvars.json and hold for every later run; --var adds to
them. Choices that can't be planned are not kept. The state is a local file, in a workspace named after
the stack, until a backend.tf says otherwise.

A stack sets nothing that is one for the whole account, so two stand side by side, and destroy takes
nothing from the other. Logs of the API (--var api_logs=json) need such a role: deploy/terraform/account
sets it, once for an account and region.

--sources names a file with the sources of the function: keys, tokens, signatures, presets and whatever else "sources" of a configuration
can say, and works on AWS ("pillarbox config check --aws" says what does not). It is packed with the function and kept for later runs.
What it refers to by ${NAME} is looked up here to check it, and by the function in a secret that is made empty: put its value there
with the command that is shown at the end. It goes neither into the state nor into a plan.`,
		Example: `  pillarbox deploy --region eu-west-2 --var 'alarm_emails_high=["you@example.com"]'
  pillarbox deploy --name staging --var waf=true --yes
  pillarbox deploy --sources sources.yaml`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			flags.sourcesGiven = command.Flags().Changed("sources")
			return deploy(ctx, command, flags)
		},
	}
	flags.add(command)
	command.Flags().StringArrayVar(&flags.vars, "var", nil,
		"value of a variable of the module, as NAME=VALUE; may be repeated")
	command.Flags().StringVar(&flags.sources, "sources", "",
		"file with the sources of the function; it is kept from then on, and an empty name takes it away")
	return command
}

func deploy(ctx context.Context, command *cobra.Command, flags *stackFlags) error {
	choices, err := flags.choices()
	if err != nil {
		return err
	}
	s, err := flags.open(command)
	if err != nil {
		return err
	}
	if err := checkChoices(s, choices); err != nil {
		return err
	}
	sources, err := flags.readSources(s)
	if err != nil {
		return err
	}
	if err := stack.NeedGo(); err != nil {
		return usageError{err}
	}
	if s.Known() {
		if err := flags.checkRegion(s); err != nil {
			return err
		}
	}
	if err := needCredentials(ctx); err != nil {
		return err
	}
	zips, err := stack.BuildFunctions(ctx, s.Source, sources, s.Talk)
	if err != nil {
		return err
	}
	undo := func() error { return nil }
	if flags.sourcesGiven {
		if choices[stack.SourcesVariable], undo, err = s.KeepSources(sources); err != nil {
			return err
		}
	}
	if err := planStack(ctx, s, withZips(choices, zips)); err != nil {
		return errors.Join(err, undo())
	}
	if !flags.yes && !confirmed(command, "Apply this plan? Type yes: ", "yes") {
		return fmt.Errorf("nothing was changed; choices are kept in %s", s.ChoicesFile())
	}
	if err := s.Apply(ctx); err != nil {
		return err
	}
	return announceStack(ctx, command, s)
}

// readSources returns the file of sources of a flag, checked, or the one that is kept; nil for none.
func (f *stackFlags) readSources(s *stack.Stack) ([]byte, error) {
	switch {
	case !f.sourcesGiven:
		return s.Sources()
	case f.sources == "":
		return nil, nil
	}
	text, err := os.ReadFile(f.sources)
	if err == nil {
		err = checkFunction(f.sources, text)
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("--sources: %w", err)}
	}
	return text, nil
}

// planStack keeps the choices and plans. Choices that can't be planned are not kept.
func planStack(ctx context.Context, s *stack.Stack, choices map[string]any) error {
	undo, err := s.Choose(choices)
	if err != nil {
		return err
	}
	if err = s.Init(ctx); err == nil {
		err = s.Plan(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("nothing was changed, and the choices of this run are not kept: %w", err), undo())
	}
	return nil
}

// choices are what the flags say of the module's variables.
func (f *stackFlags) choices() (map[string]any, error) {
	choices := map[string]any{}
	if f.region != "" {
		choices["region"] = f.region
	}
	for _, text := range f.vars {
		name, value, err := stack.ParseChoice(text)
		if err != nil {
			return nil, usageError{fmt.Errorf("--var %w", err)}
		}
		if instead := stack.Reserved(name); instead != "" {
			return nil, usageError{fmt.Errorf("--var %s can't be set so: %s", name, instead)}
		}
		choices[name] = value
	}
	return choices, nil
}

// checkChoices refuses variables that the module does not have, also among those that are kept:
// Terraform only warns about them, and what was meant would not be deployed.
func checkChoices(s *stack.Stack, choices map[string]any) error {
	kept, err := s.Choices()
	if err != nil {
		return err
	}
	known, err := s.Variables()
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(choices)) {
		if !slices.Contains(known, name) {
			return usageError{fmt.Errorf("--var %s: the module has no such variable%s", name,
				meant(name, known))}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(kept)) {
		if !slices.Contains(known, name) {
			return usageError{fmt.Errorf("%s: the module has no variable %s%s", s.ChoicesFile(), name,
				meant(name, known))}
		}
	}
	return nil
}

// withZips says where the functions are. Every role has its own, so that the variable for all is
// one of them.
func withZips(choices map[string]any, zips map[string]string) map[string]any {
	for role, path := range zips {
		choices[role+"_zip"] = path
	}
	choices["functions_zip"] = choices["deliver_zip"]
	return choices
}

// confirmed asks, and takes nothing but the word for a yes.
func confirmed(command *cobra.Command, question, word string) bool {
	fmt.Fprint(command.ErrOrStderr(), question)
	answer, err := bufio.NewReader(command.InOrStdin()).ReadString('\n')
	if err != nil { // nobody has ended the line of the question
		fmt.Fprintln(command.ErrOrStderr())
	}
	return (err == nil || err == io.EOF) && strings.TrimSpace(answer) == word
}

// announceStack remembers the stack, and says what can be done with it.
func announceStack(ctx context.Context, command *cobra.Command, s *stack.Stack) error {
	outputs, err := s.Outputs(ctx)
	if err != nil {
		return err
	}
	if err := keepRegion(s, outputs.Region); err != nil {
		return err
	}
	records, err := stack.UserRecords()
	if err != nil {
		return err
	}
	if err := records.Put(outputs); err != nil {
		return fmt.Errorf("the stack is deployed, at %s, and can't be remembered: %w", outputs.URL, err)
	}
	fmt.Fprintln(command.OutOrStdout(), outputs.URL)
	_, err = fmt.Fprintf(command.ErrOrStderr(), `
The stack %s is deployed. Next:
  pillarbox post --stack %s --body '{"hello":"world"}'
  pillarbox config example --aws --stack %s > aws.yaml
  pillarbox events --config aws.yaml
  pillarbox dead list --config aws.yaml
Dashboard: %s
Who runs these commands needs the policy %s.
`, outputs.Name, outputs.Name, outputs.Name, outputs.Dashboard, outputs.Policy)
	if err == nil && outputs.Secret != "" {
		_, err = fmt.Fprintf(command.ErrOrStderr(), `What the file of sources refers to by ${NAME} is a JSON object in a secret, as {"NAME":"..."}. Until it has a value, such sources
answer 503; a later one counts within five minutes:
  aws secretsmanager put-secret-value --secret-id %s --secret-string file://secrets.json
`, outputs.Secret)
	}
	return err
}

// keepRegion keeps where a stack is among its choices, where no flag has said so: a later run from
// surroundings with another region would else make a second one there.
func keepRegion(s *stack.Stack, region string) error {
	kept, err := s.Choices()
	if err != nil || region == "" || kept["region"] != nil {
		return err
	}
	_, err = s.Choose(map[string]any{"region": region})
	return err
}

func newDestroyCommand() *cobra.Command {
	flags := &stackFlags{}
	command := &cobra.Command{
		Use:   "destroy",
		Short: "Take a stack on AWS away, with everything that it holds",
		Long: `Take away what "pillarbox deploy" has put on AWS: first the protection of what holds data, then everything,
also where it was deployed in part. All events in the table, all dead letters and all events that wait in
the queue are gone afterwards; the key can be rescued for 30 days. It asks for the name of the stack.`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return destroy(ctx, command, flags)
		},
	}
	flags.add(command)
	return command
}

func destroy(ctx context.Context, command *cobra.Command, flags *stackFlags) error {
	s, err := flags.open(command)
	if err != nil {
		return err
	}
	if !s.Known() {
		return fmt.Errorf("no stack %q was deployed from %s: there is no %s", s.Name, s.Source,
			s.ChoicesFile())
	}
	if err := flags.checkRegion(s); err != nil {
		return err
	}
	if err := needCredentials(ctx); err != nil {
		return err
	}
	if err := s.Init(ctx); err != nil {
		return err
	}
	outputs, err := s.Outputs(ctx)
	if err != nil {
		fmt.Fprintln(command.ErrOrStderr(), "the stack is not, or only in part, deployed:", err)
	}
	fmt.Fprintf(command.ErrOrStderr(), `
This deletes the stack %s for good, with its data:
  table   %s: every event in it, and its backups of the last 35 days
  bucket  %s: every dead letter and large body, in all versions
  queues: every event that waits
`, s.Name, orUnknown(outputs.Table), orUnknown(outputs.Bucket))
	if !flags.yes && !confirmed(command,
		fmt.Sprintf("Type the name of the stack (%s) to delete it: ", s.Name), s.Name) {
		return fmt.Errorf("nothing was deleted")
	}
	if err := s.Destroy(ctx); err != nil {
		return err
	}
	records, err := stack.UserRecords()
	if err != nil {
		return err
	}
	return records.Forget(s.Name)
}

// checkRegion refuses another region than the stack has. Where none was chosen the stack has that
// of the environment, and a flag can't choose another.
func (f *stackFlags) checkRegion(s *stack.Stack) error {
	kept, err := s.Choices()
	if err != nil || f.region == "" || kept["region"] == f.region {
		return err
	}
	if kept["region"] == nil {
		return usageError{fmt.Errorf("--region %s: %s was deployed to the region of the environment (AWS_REGION or the profile's); choose it there, and leave the flag out", f.region, s.Name)}
	}
	return usageError{fmt.Errorf("--region %s: the stack %s is in %v", f.region, s.Name,
		kept["region"])}
}

func orUnknown(name string) string {
	if name == "" {
		return "(unknown)"
	}
	return name
}
