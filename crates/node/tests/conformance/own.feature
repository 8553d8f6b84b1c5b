Feature: Scenarios of our own
  They stand in for those of the authors of the DSL where those are not at hand.

  Scenario: Tasks in their order
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: own
      name: in-order
      version: '1.0.0'
    do:
      - first:
          set:
            sum: ${ .start + 1 }
      - second:
          set:
            sum: ${ .sum * 2 }
    """
    And given the workflow input is:
    """yaml
    start: 3
    """
    When the workflow is executed
    Then the workflow should complete with output:
    """yaml
    sum: 8
    """
    And first should run first
    And second should run last

  Scenario: A request and its answer
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: own
      name: request
      version: '1.0.0'
    do:
      - get:
          call: http
          with:
            method: get
            endpoint: https://petstore.swagger.io/v2/pet/{id}
            output: response
    """
    And given the workflow input is:
    """yaml
    id: 2
    """
    When the workflow is executed
    Then the workflow should complete
    And the workflow output should have properties 'request.uri', 'headers', 'statusCode', 'content.id'

  Scenario: An answer that nobody catches
    Given a workflow with definition:
    """yaml
    document:
      dsl: '1.0.3'
      namespace: own
      name: not-found
      version: '1.0.0'
    do:
      - get:
          call: http
          with:
            method: get
            endpoint: https://petstore.swagger.io/v2/pet/9
    """
    When the workflow is executed
    Then the workflow should fault with error:
    """yaml
    status: 404
    type: https://serverlessworkflow.io/spec/1.0.0/errors/communication
    instance: /do/0/get
    """
