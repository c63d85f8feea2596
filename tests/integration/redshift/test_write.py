"""What a write to Redshift promises."""




def test_replacing_a_table_twice_gives_the_same_rows(database, sales, staged_keys):
    for _ in range(2):
        result = database.write(sales)
        assert result.rows == 3
        assert database.rows("select id, region, amount from {schema}.sales order by id") == [
            (1, "north", 10),
            (2, "north", 20),
            (3, "south", 30),
        ]
    assert staged_keys() == []
