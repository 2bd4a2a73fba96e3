package fakedynamo

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"

	"pillarbox/test/standin/awsjson"
)

var tableName = regexp.MustCompile(`^[A-Za-z0-9_.-]{3,255}$`)

type keyElement struct{ AttributeName, KeyType string }

type indexInput struct {
	IndexName  string
	KeySchema  []keyElement
	Projection struct {
		ProjectionType   string
		NonKeyAttributes []string
	}
	ProvisionedThroughput map[string]int `json:",omitempty"`
	OnDemandThroughput    map[string]int `json:",omitempty"`
}

type createInput struct {
	TableName                 string
	AttributeDefinitions      []struct{ AttributeName, AttributeType string }
	KeySchema                 []keyElement
	GlobalSecondaryIndexes    []indexInput
	BillingMode               string
	ProvisionedThroughput     map[string]int
	SSESpecification          map[string]any
	Tags                      []map[string]string
	TableClass                string
	DeletionProtectionEnabled bool
}

func (s *Server) createTable(_ context.Context, _ awsjson.Call, in *createInput) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !tableName.MatchString(in.TableName) {
		return nil, invalid("TableName must be 3 to 255 letters, digits, underscores, hyphens and dots")
	}
	if s.tables[in.TableName] != nil {
		return nil, errInUse.With("Table already exists: %s", in.TableName)
	}
	if in.BillingMode != "PAY_PER_REQUEST" && in.ProvisionedThroughput == nil {
		return nil, invalid("One or more parameter values were invalid: ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED")
	}
	t, err := in.table()
	if err != nil {
		return nil, err
	}
	t.description["CreationDateTime"] = float64(s.now().UnixMilli()) / 1000
	s.tables[in.TableName] = t
	return map[string]any{"TableDescription": t.describe()}, nil
}

// table makes the table, without items.
func (in *createInput) table() (*table, error) {
	defined := map[string]bool{}
	for _, attribute := range in.AttributeDefinitions {
		if attribute.AttributeType != "S" {
			return nil, unknown("keys that are not strings: %s", attribute.AttributeName)
		}
		defined[attribute.AttributeName] = true
	}
	used := map[string]bool{}
	key, err := schemaOf(in.KeySchema, defined, used)
	if err != nil {
		return nil, err
	}
	t := &table{name: in.TableName, base: &view{key: key, table: key}, indexes: map[string]*view{}}
	for _, index := range in.GlobalSecondaryIndexes {
		v := &view{table: key}
		if v.key, err = schemaOf(index.KeySchema, defined, used); err != nil {
			return nil, err
		}
		switch index.Projection.ProjectionType {
		case "ALL":
		case "KEYS_ONLY", "INCLUDE":
			v.project = slices.Concat(key.names(), v.key.names(), index.Projection.NonKeyAttributes)
		default:
			return nil, invalid("One or more parameter values were invalid: Unknown ProjectionType: %s",
				index.Projection.ProjectionType)
		}
		if !tableName.MatchString(index.IndexName) || t.indexes[index.IndexName] != nil {
			return nil, invalid("One or more parameter values were invalid: index name %q is bad or repeated", index.IndexName)
		}
		t.indexes[index.IndexName] = v
	}
	if len(used) != len(defined) {
		return nil, invalid("One or more parameter values were invalid: Some AttributeDefinitions are not used. AttributeDefinitions: %v, keys used: %v", defined, used)
	}
	t.description = in.describe()
	return t, nil
}

func schemaOf(elements []keyElement, defined, used map[string]bool) (schema, error) {
	if len(elements) == 0 || len(elements) > 2 || elements[0].KeyType != "HASH" ||
		len(elements) == 2 && elements[1].KeyType != "RANGE" {
		return schema{}, invalid("Invalid KeySchema: want a HASH key, and at most a RANGE key behind it")
	}
	for _, element := range elements {
		if !defined[element.AttributeName] {
			return schema{}, invalid("One or more parameter values were invalid: Some index key attributes are not defined in AttributeDefinitions: %s", element.AttributeName)
		}
		used[element.AttributeName] = true
	}
	key := schema{hash: elements[0].AttributeName}
	if len(elements) == 2 {
		key.sort = elements[1].AttributeName
	}
	return key, nil
}

// describe returns what DescribeTable says that does not change.
func (in *createInput) describe() map[string]any {
	arn := "arn:aws:dynamodb:us-east-1:000000000000:table/" + in.TableName
	description := map[string]any{
		"TableName": in.TableName, "TableArn": arn, "TableStatus": "ACTIVE", "KeySchema": in.KeySchema,
		"AttributeDefinitions": in.AttributeDefinitions, "DeletionProtectionEnabled": in.DeletionProtectionEnabled,
	}
	if in.BillingMode == "PAY_PER_REQUEST" {
		description["BillingModeSummary"] = map[string]any{"BillingMode": in.BillingMode}
	}
	if in.SSESpecification["Enabled"] == true {
		description["SSEDescription"] = map[string]any{"Status": "ENABLED", "SSEType": "KMS",
			"KMSMasterKeyArn": in.SSESpecification["KMSMasterKeyId"]}
	}
	return description
}

func (t *table) describe() map[string]any {
	description := maps.Clone(t.description)
	description["ItemCount"], description["TableSizeBytes"] = t.base.count()
	var indexes []map[string]any
	for _, name := range slices.Sorted(maps.Keys(t.indexes)) {
		v := t.indexes[name]
		projection := map[string]any{"ProjectionType": "ALL"}
		if v.project != nil {
			projection["ProjectionType"] = "KEYS_ONLY"
			if rest := v.project[len(v.table.names())+len(v.key.names()):]; len(rest) > 0 {
				projection = map[string]any{"ProjectionType": "INCLUDE", "NonKeyAttributes": rest}
			}
		}
		items, bytes := v.count()
		indexes = append(indexes, map[string]any{
			"IndexName": name, "IndexArn": fmt.Sprint(description["TableArn"], "/index/",
				name), "IndexStatus": "ACTIVE",
			"KeySchema": elementsOf(v.key), "Projection": projection, "ItemCount": items, "IndexSizeBytes": bytes,
		})
	}
	if indexes != nil {
		description["GlobalSecondaryIndexes"] = indexes
	}
	return description
}

func elementsOf(key schema) []keyElement {
	elements := []keyElement{{key.hash, "HASH"}}
	if key.sort != "" {
		elements = append(elements, keyElement{key.sort, "RANGE"})
	}
	return elements
}

func (v *view) count() (items, bytes int) {
	for _, e := range v.entries {
		bytes += e.item.size()
	}
	return len(v.entries), bytes
}

// tableLocked returns the table of the name or of the ARN.
func (s *Server) tableLocked(name string) (*table, error) {
	const prefix = "arn:aws:dynamodb:us-east-1:000000000000:table/"
	if len(name) > len(prefix) && name[:len(prefix)] == prefix {
		name = name[len(prefix):]
	}
	if t := s.tables[name]; t != nil {
		return t, nil
	}
	return nil, ErrNotFound
}

type onTable struct{ TableName string }

func (s *Server) describeTable(_ context.Context, _ awsjson.Call, in *onTable) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.tableLocked(in.TableName)
	if err != nil {
		return nil, ErrNotFound.With("Requested resource not found: Table: %s not found", in.TableName)
	}
	return map[string]any{"Table": t.describe()}, nil
}

func (s *Server) deleteTable(_ context.Context, _ awsjson.Call, in *onTable) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.tableLocked(in.TableName)
	switch {
	case err != nil:
		return nil, ErrNotFound.With("Requested resource not found: Table: %s not found", in.TableName)
	case t.description["DeletionProtectionEnabled"] == true:
		return nil, invalid("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
	}
	delete(s.tables, t.name)
	description := t.describe()
	description["TableStatus"] = "DELETING"
	return map[string]any{"TableDescription": description}, nil
}

func (s *Server) listTables(_ context.Context, _ awsjson.Call, in *struct {
	ExclusiveStartTableName string
	Limit                   int
}) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := in.Limit
	if limit == 0 {
		limit = 100
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(s.tables)),
		func(name string) bool { return name <= in.ExclusiveStartTableName })
	answer := map[string]any{"TableNames": names[:min(len(names), limit)]}
	if len(names) > limit {
		answer["LastEvaluatedTableName"] = names[limit-1]
	}
	return answer, nil
}
