"""The report's five nets (sections 3 and 4): two templates, one table of variants, and what renders them."""
